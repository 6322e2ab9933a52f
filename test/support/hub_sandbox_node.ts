// What tests of the hub share: an empty cache for each test, no variables of the user's own environment, and a hub.

import { createHash, randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach } from "vitest";
import { openHubRepository } from "../../src/loader/hub/hub_repository_node.js";
import type { GivenHubOptions } from "../../src/loader/hub/hub_options.js";
import type { Repository } from "../../src/loader/repository.js";
import { oneCommit, startFakeHub, type FakeHub, type Files } from "./fake_hub_node.js";

export const ID = "org/tiny";
export const COMMIT = "a".repeat(40);
export const CONFIG = "unet/config.json";
export const WEIGHT = "unet/diffusion_pytorch_model.safetensors";

export interface Sandbox {
  hub: FakeHub;
  files: Map<string, Uint8Array>;
  cache: string;
  /** The folder that has the cache's parent, and nothing else. */
  outside: string;
  /** Pauses that were asked for, in milliseconds; none is made. */
  pauses: number[];
  /** Opens the repository ID of the fake hub. */
  open(options?: GivenHubOptions, timeout?: number): Promise<Repository>;
}

const VARIABLES = /^(HF_|HUGGING|TRANSFORMERS_OFFLINE|XDG_CACHE_HOME)/;

/** @param size bytes of the weight file */
export function useHub(size: number): Sandbox {
  const kept = new Map<string, string | undefined>();
  const sandbox: Sandbox = {
    files: new Map([
      ["model_index.json", Buffer.from('{"_class_name": "StableDiffusionPipeline"}')],
      [CONFIG, Buffer.from(`{"_class_name": "UNet2DConditionModel", "pad": "${"x".repeat(500)}"}`)],
      [WEIGHT, randomBytes(size)],
    ]),
    hub: null as unknown as FakeHub, // made before each test
    cache: "",
    outside: "",
    pauses: [],
    open: (options = {}, timeout = 10_000) =>
      openHubRepository(
        ID,
        { endpoint: sandbox.hub.url, cacheDir: sandbox.cache, ...options },
        { timeout, sleep: async (pause) => void sandbox.pauses.push(pause) },
      ),
  };
  beforeEach(async () => {
    for (const name of Object.keys(process.env).filter((key) => VARIABLES.test(key))) {
      kept.set(name, process.env[name]);
      delete process.env[name];
    }
    // Two folders that nobody else writes to, for tests of what leaves the cache; files run side by side.
    sandbox.outside = mkdtempSync(path.join(tmpdir(), "hub-"));
    sandbox.cache = path.join(sandbox.outside, "home", "cache");
    mkdirSync(sandbox.cache, { recursive: true });
    process.env.HF_HOME = sandbox.cache; // no token of the user's
    sandbox.pauses = [];
    sandbox.hub = await startFakeHub([[ID, oneCommit(sandbox.files as Files, COMMIT)]]);
  });
  afterEach(async () => {
    for (const name of Object.keys(process.env)) if (VARIABLES.test(name)) delete process.env[name];
    for (const [name, value] of kept) process.env[name] = value;
    await sandbox.hub.close();
    rmSync(sandbox.outside, { recursive: true, force: true });
  });
  return sandbox;
}

/** All files and links below a folder, sorted. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !lstatSync(path.join(folder, name)).isDirectory())
    .sort();
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
