/** What a server gives to browsers for the suite's page. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { startStaticServer, type StaticServerOptions } from "../../scripts/static_server.mjs";
import { FFLATE, pageHtml, PREPROCESSOR } from "./html.js";

/** Where the page is. */
export const PAGE = "/bench/";

/** @param root the package's folder, whose dist and models the page loads */
export async function pageServer(root: string): Promise<StaticServerOptions> {
  // Where npm has put them: an installed package has its dependencies beside it.
  const contents = (specifier: string): Promise<Uint8Array> => readFile(fileURLToPath(import.meta.resolve(specifier)));
  const virtual = new Map<string, string | Uint8Array>([
    [`${PAGE}index.html`, pageHtml()],
    [`${PAGE}${FFLATE}`, await contents("fflate/browser")],
    [`${PAGE}${PREPROCESSOR}`, await contents("wgsl-preprocessor/wgsl-preprocessor.js")],
  ]);
  return { root, virtual };
}

/** Serves the page until the signal. @throws Error if the port is taken, or none */
export async function servePage(root: string, port: string, signal: AbortSignal): Promise<void> {
  const server = await startStaticServer({ ...(await pageServer(root)), port }).catch((error: Error) => {
    throw new Error(`bench: cannot listen on port ${port}: ${error.message}. Choose another one with PORT=8081`);
  });
  console.log(`Open ${server.origin}${PAGE} in a browser with WebGPU (Ctrl-C ends)`);
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  await server.close();
}
