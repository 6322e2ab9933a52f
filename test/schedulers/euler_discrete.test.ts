import { testTrajectories } from "../support/trajectories.js";

testTrajectories("euler", 38);
