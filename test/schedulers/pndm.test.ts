import { testTrajectories } from "../support/trajectories.js";

testTrajectories("pndm", 23);
