import { testTrajectories } from "../support/trajectories.js";

testTrajectories("unclip", 17);
