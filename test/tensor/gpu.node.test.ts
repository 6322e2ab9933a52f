import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { extractTar, findChromiumPackage } from "../../src/tensor/software_adapter_node.js";

// From the built library, in a process of its own: drivers are chosen once a process. `npm run build` first.
const MODULE = fileURLToPath(new URL("../../dist/src/tensor/gpu_node.js", import.meta.url));
const SCRIPT = `
  const { requestNodeGPU, releaseNodeGPU } = await import(${JSON.stringify(MODULE)});
  const gpu = await requestNodeGPU();
  const adapter = await gpu.requestAdapter();
  console.log(adapter.info.description, typeof GPUBufferUsage, gpu === (await requestNodeGPU()));
  releaseNodeGPU();`;

function run(environment: Record<string, string>): { status: number | null; stdout: string; stderr: string } {
  const { VK_ICD_FILENAMES: _icd, VK_DRIVER_FILES: _files, WEBGPU_DIFFUSERS_ADAPTER: _adapter, ...env } = process.env;
  const options = { env: { ...env, ...environment }, encoding: "utf8", timeout: 60_000 } as const;
  return spawnSync(process.execPath, ["--input-type=module", "-e", SCRIPT], options);
}

describe("requestNodeGPU", () => {
  test("finds an adapter, and the process exits once it is released", () => {
    const { status, stdout } = run({});
    expect(stdout).toMatch(/ function true\n$/);
    expect(status).toBe(0);
  });

  test("takes the npm SwiftShader when asked to", (context) => {
    if (!findChromiumPackage()) context.skip("@sparticuz/chromium is for linux-x64 only");
    expect(run({ WEBGPU_DIFFUSERS_ADAPTER: "swiftshader" }).stdout).toMatch(/^SwiftShader/);
  });

  test("says what it tried and what to do when there is no adapter", (context) => {
    if (process.platform !== "linux") context.skip("the Vulkan loader's variables are for Linux");
    const { status, stderr } = run({ VK_ICD_FILENAMES: "/nowhere/icd.json" });
    expect(stderr).toMatch(
      /webgpu: no adapter found\. Tried: .*VK_ICD_FILENAMES=\/nowhere\/icd\.json.*Cure: unset VK_ICD_FILENAMES/,
    );
    expect(stderr).toContain("WD_NO_ADAPTER");
    expect(status).toBe(1);
  });

  test("names the adapters there are when none has the wanted name", () => {
    const { stderr } = run({ WEBGPU_DIFFUSERS_ADAPTER: "no-such-adapter" });
    expect(stderr).toMatch(/no adapter matches WEBGPU_DIFFUSERS_ADAPTER=no-such-adapter.*Cure: unset WEBGPU_DIFFUSERS/);
  });
});

describe("extractTar", () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "extract-tar-"));
  const target = path.join(folder, "target");
  afterAll(() => rmSync(folder, { recursive: true }));

  /** One member as ustar: header, contents, padding. */
  function member(name: string, contents = "", type = "0"): Buffer {
    const header = Buffer.alloc(512);
    header.write(name);
    header.write("0000644\0", 100);
    header.write(contents.length.toString(8).padStart(11, "0"), 124);
    header.write(type, 156);
    header.write("ustar\0", 257);
    header.fill(" ", 148, 156);
    const sum = header.reduce((a, b) => a + b, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(contents.length / 512) * 512);
    body.write(contents);
    return Buffer.concat([header, body]);
  }
  const end = Buffer.alloc(1024);

  test("writes files and folders", () => {
    extractTar(
      Buffer.concat([member("lib/", "", "5"), member("lib/a", "x".repeat(513)), member("b", "y"), end]),
      target,
    );
    expect(readFileSync(path.join(target, "lib/a"), "utf8")).toBe("x".repeat(513));
    expect(readFileSync(path.join(target, "b"), "utf8")).toBe("y");
  });

  test("refuses names that leave the folder, and links", () => {
    for (const name of ["../evil", "a/../../evil", "/evil", "..\\evil", "c:evil"])
      expect(() => extractTar(Buffer.concat([member(name, "x"), end]), target), name).toThrow(/leaves the folder/);
    expect(existsSync(path.join(folder, "evil"))).toBe(false);
    expect(() => extractTar(member("link", "", "2"), target)).toThrow(/only files and folders/);
  });

  test("refuses a broken archive", () => {
    const whole = member("file", "contents");
    expect(() => extractTar(whole.subarray(0, 512), target)).toThrow(/ends inside the file/);
    whole[0] ^= 1;
    expect(() => extractTar(whole, target)).toThrow(/checksum/);
  });
});
