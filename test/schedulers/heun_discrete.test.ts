import { testTrajectories } from "../support/trajectories.js";

testTrajectories("heun", 29);
