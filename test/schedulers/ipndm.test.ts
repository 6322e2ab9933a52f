import { testTrajectories } from "../support/trajectories.js";

testTrajectories("ipndm", 8);
