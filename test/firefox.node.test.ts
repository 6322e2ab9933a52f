// Shared tests in headless Firefox, where one is installed: its WebGPU (wgpu) and its compiler of WGSL (naga) are not those of Chrome
// and Node. Pictures of one prompt, the device and the cache; with WEBGPU_DIFFUSERS_FIREFOX=all, or a part of a path, all or others.
import { fileURLToPath } from "node:url";
import { describe, test } from "vitest";
import { asTests } from "./browser/as_tests.js";
import { sharedTests } from "./browser/bundle.js";
import { launchFirefox } from "./browser/firefox.js";
import { runInBrowser } from "./browser/run_page.js";

const FEW = ["tensor/device", "loader/hub_browser", "pipelines/shapes.test"];
const { WEBGPU_DIFFUSERS_FIREFOX: wanted } = process.env;
const parts = wanted === "all" ? [""] : wanted ? [wanted] : FEW;
const tests = sharedTests(fileURLToPath(new URL("..", import.meta.url)));

const firefox = await launchFirefox();
if (typeof firefox === "string") describe("in Firefox", () => test("shared tests", (context) => context.skip(firefox)));
else
  asTests(
    "Firefox",
    await runInBrowser(
      () => Promise.resolve(firefox),
      tests.filter((file) => parts.some((part) => file.includes(part))),
    ),
  );
