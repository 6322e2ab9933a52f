import { testTrajectories } from "../support/trajectories.js";

testTrajectories("unipc", 45);
