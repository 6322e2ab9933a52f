import { testTrajectories } from "../support/trajectories.js";

testTrajectories("flow-match-lcm", 12);
