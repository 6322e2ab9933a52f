import { testTrajectories } from "../support/trajectories.js";

testTrajectories("ddpm", 31);
