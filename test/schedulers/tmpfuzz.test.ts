import { testTrajectories } from "../support/tmpfuzz.js";
testTrajectories("fuzz", 575);
