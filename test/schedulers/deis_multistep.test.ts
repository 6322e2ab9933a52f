import { testTrajectories } from "../support/trajectories.js";

testTrajectories("deis", 31);
