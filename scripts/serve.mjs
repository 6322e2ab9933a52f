// npm run demo: serves the repository, so that the example page finds dist, models and node_modules.
import { fileURLToPath } from "node:url";
import { startStaticServer } from "./static_server.mjs";

const port = process.env.PORT || "8080";
const { origin } = await startStaticServer({ root: fileURLToPath(new URL("..", import.meta.url)), port }).catch(
  (error) => {
    console.error(`demo: cannot listen on port ${port}: ${error.message}. Choose another one: PORT=8081 npm run demo`);
    process.exit(1);
  },
);
console.log(`Open ${origin}/examples/browser/ in a browser with WebGPU (Ctrl-C ends)`);
