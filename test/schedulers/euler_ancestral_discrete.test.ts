import { testTrajectories } from "../support/trajectories.js";

testTrajectories("euler-ancestral", 23);
