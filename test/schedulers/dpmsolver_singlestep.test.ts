import { testTrajectories } from "../support/trajectories.js";

testTrajectories("dpm-single", 34);
