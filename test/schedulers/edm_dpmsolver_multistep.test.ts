import { testTrajectories } from "../support/trajectories.js";

testTrajectories("edm-dpm", 26);
