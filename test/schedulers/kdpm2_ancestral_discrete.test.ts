import { testTrajectories } from "../support/trajectories.js";

testTrajectories("kdpm2-ancestral", 24);
