import { testTrajectories } from "../support/trajectories.js";

testTrajectories("score-sde-ve", 11);
