import { testTrajectories } from "../support/trajectories.js";

testTrajectories("edm-euler", 23);
