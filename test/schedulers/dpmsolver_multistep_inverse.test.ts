import { testTrajectories } from "../support/trajectories.js";

testTrajectories("dpm-multi-inverse", 29);
