import { testTrajectories } from "../support/trajectories.js";

testTrajectories("sasolver", 37);
