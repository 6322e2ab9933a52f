// Empties dist, so that files whose source is gone are neither tested nor published.
import { rmSync } from "node:fs";

rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
