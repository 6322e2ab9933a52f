import { testTrajectories } from "../support/trajectories.js";

testTrajectories("cm", 18);
