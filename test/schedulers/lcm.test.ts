import { testTrajectories } from "../support/trajectories.js";

testTrajectories("lcm", 29);
