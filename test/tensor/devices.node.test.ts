// From the built library, in processes of their own: drivers are chosen once a process. `npm run build` first.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { findChromiumPackage, unpackSwiftShader } from "../../src/tensor/software_adapter_node.js";

const LIBRARY = fileURLToPath(new URL("../../dist/src/index.js", import.meta.url));
const DAWN = fileURLToPath(new URL("../../dist/src/tensor/gpu_node.js", import.meta.url));
const SCRIPT = `
  import * as lib from ${JSON.stringify(LIBRARY)};
  import { releaseNodeGPU } from ${JSON.stringify(DAWN)};
  const options = JSON.parse(process.argv[1]);
  const list = await lib.devices(options);
  const out = { adapters: list.map((device) => device.adapterInfo.description), pictures: [] };
  if (options.draw) {
    const { PRNGKey, split, shard, replicate } = lib;
    const [pipeline, params] = await lib.FlaxStableDiffusionPipeline.fromPretrained(lib.EMBEDDED_MODEL);
    const replicated = await replicate(params, list);
    const [key] = split(PRNGKey(0), 1);
    const ids = await shard(pipeline.prepareInputs(list.map(() => "a red circle on a white background")), list);
    const { images } = await pipeline(ids, replicated, list.map(() => key), 4, { jit: true, guidanceScale: 3 });
    out.pictures = Array.from(await images.data());
  }
  for (const device of list) device.destroy();
  releaseNodeGPU();
  console.log(JSON.stringify(out));`;

interface Output {
  adapters: string[];
  pictures: number[];
}

function run(options: object, environment: Record<string, string> = {}): Output {
  const { VK_ICD_FILENAMES: _icd, VK_DRIVER_FILES: _files, WEBGPU_DIFFUSERS_ADAPTER: _adapter, ...env } = process.env;
  const given = { env: { ...env, ...environment }, encoding: "utf8", timeout: 100_000 } as const;
  const script = ["--input-type=module", "-e", SCRIPT, JSON.stringify(options)];
  const { stdout, stderr, status } = spawnSync(process.execPath, script, given);
  expect(stderr.replace(/^Warning: max.*\n/gm, "")).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout) as Output;
}

/** Manifests of two software drivers, if this machine has them. */
function twoDrivers(): string | null {
  const folder = "/usr/share/vulkan/icd.d";
  const lavapipe = existsSync(folder) ? readdirSync(folder).find((name) => name.startsWith("lvp_")) : undefined;
  const source = findChromiumPackage();
  return lavapipe && source ? `${path.join(folder, lavapipe)}:${unpackSwiftShader(source).manifest}` : null;
}

describe("devices()", () => {
  test("gives a device per adapter; a count, also from the environment, shares one; the process exits", () => {
    const { adapters } = run({});
    expect(adapters.length).toBeGreaterThan(0);
    expect(new Set(adapters).size).toBe(adapters.length);
    expect(run({ count: adapters.length + 1 }).adapters).toEqual([...adapters, adapters[0]]);
    expect(run({}, { WEBGPU_DIFFUSERS_DEVICES: "3" }).adapters).toHaveLength(3);
  });

  test("two adapters draw the same pictures, each its own", (context) => {
    const drivers = twoDrivers();
    if (!drivers) return context.skip("needs Mesa's lavapipe beside @sparticuz/chromium's SwiftShader");
    const { adapters, pictures } = run({ draw: true }, { VK_ICD_FILENAMES: drivers });
    expect(adapters.map((name) => /llvmpipe|SwiftShader/.exec(name)?.[0]).sort()).toEqual(["SwiftShader", "llvmpipe"]);
    const [one, two] = [pictures.slice(0, pictures.length / 2), pictures.slice(pictures.length / 2)];
    // Other kernels and other roundings of exp: a thousandth, not the bits.
    one.forEach((v, i) => expect(Math.abs(v - two[i])).toBeLessThan(1e-3));
    expect(run({}, { VK_ICD_FILENAMES: drivers, WEBGPU_DIFFUSERS_ADAPTER: "llvmpipe" }).adapters).toHaveLength(1);
  });
});
