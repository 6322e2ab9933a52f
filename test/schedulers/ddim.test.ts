import { testTrajectories } from "../support/trajectories.js";

testTrajectories("ddim", 37);
