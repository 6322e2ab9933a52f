import { testTrajectories } from "../support/trajectories.js";

testTrajectories("dpm-multi", 48);
