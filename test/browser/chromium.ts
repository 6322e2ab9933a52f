// Finds or unpacks a Chrome with WebGPU and launches it through puppeteer.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { brotliDecompressSync } from "node:zlib";
import puppeteer, { type Browser } from "puppeteer";
import { cachedFolder, extractTar, findChromiumPackage } from "../../src/tensor/software_adapter_node.js";

// SwiftShader on every machine, so that a test in Chrome means the same everywhere.
const ARGUMENTS = [
  "--no-sandbox", // root in a container has no user namespaces
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-dev-shm-usage", // /dev/shm is 64 MB in a container
];

/**
 * Launches headless Chrome: PUPPETEER_EXECUTABLE_PATH or CHROME_PATH when set, otherwise the Chromium in the npm
 * package @sparticuz/chromium (linux-x64), otherwise the installed Chrome.
 * @param args further arguments of Chrome
 * @param handleSIGINT false where the caller closes Chrome at Ctrl-C: puppeteer ends the whole process
 */
export async function launchChrome({ args = [] as string[], handleSIGINT = true } = {}): Promise<Browser> {
  const { VK_ICD_FILENAMES: _icd, VK_DRIVER_FILES: _files, ...env } = process.env; // meant for Node's own adapter
  const times = { timeout: 120_000, protocolTimeout: 600_000 };
  const options = { headless: "shell" as const, args: [...ARGUMENTS, ...args], handleSIGINT, ...times };
  const chosen = process.env.PUPPETEER_EXECUTABLE_PATH || process.env.CHROME_PATH;
  if (chosen) return puppeteer.launch({ ...options, env, executablePath: chosen });
  const source = findChromiumPackage();
  if (!source) return puppeteer.launch({ ...options, env, channel: "chrome" });

  const packed = (name: string): Buffer => brotliDecompressSync(readFileSync(path.join(source.folder, "bin", name)));
  // Not the package's executablePath(): it unpacks to fixed names in /tmp and takes whatever lies there already.
  const folder = cachedFolder(source, `chromium-${source.version}`, (target) => {
    writeFileSync(path.join(target, "chromium"), packed("chromium.br"), { mode: 0o755 });
    extractTar(packed("swiftshader.tar.br"), target);
  });
  const executablePath = path.join(folder, "chromium");
  if (spawnSync(executablePath, ["--version"], { env }).status !== 0) {
    // Most likely libnss3, libnspr4 or libexpat are missing, which the package brings along.
    const libraries = cachedFolder(source, `libraries-${source.version}`, (target) =>
      extractTar(packed("al2023.tar.br"), target),
    );
    env.LD_LIBRARY_PATH = [path.join(libraries, "lib"), env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  }
  return puppeteer.launch({ ...options, env, executablePath });
}
