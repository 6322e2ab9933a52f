import { testTrajectories } from "../support/trajectories.js";

testTrajectories("lms", 28);
