import { testTrajectories } from "../support/trajectories.js";

testTrajectories("flow-match-euler", 32);
