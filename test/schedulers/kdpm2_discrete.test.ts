import { testTrajectories } from "../support/trajectories.js";

testTrajectories("kdpm2", 25);
