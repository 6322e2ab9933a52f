import { testTrajectories } from "../support/trajectories.js";

testTrajectories("dpm-sde", 20);
