import { testTrajectories } from "../support/trajectories.js";

testTrajectories("ddim-inverse", 19);
