import { testTrajectories } from "../support/trajectories.js";

testTrajectories("tcd", 30);
