// npm makes a bin executable when it links it, once; a later build writes the file anew and would leave it without.
import { chmodSync } from "node:fs";

chmodSync(new URL("../dist/src/cli/main.js", import.meta.url), 0o755);
