import { testTrajectories } from "../support/trajectories.js";

testTrajectories("flow-match-heun", 13);
