import { describe, expect, test } from "vitest";
import {
  estimateMemory,
  openRepository,
  UNet2DConditionModel,
  type Device,
  type DrawingSize,
  type PipelineOptions,
  type Repository,
} from "../../src/index.js";
import { blankDevice } from "../../src/tensor/blank_device.js";
import { repo, sd15Size, testEstimate, withNewDevice } from "../support/estimates.js";
import { fewerLimits } from "../support/gpu.js";
import { warnings } from "../support/warnings.js";

describe("estimateMemory", () => {
  // Each compiles on a device of its own, for seconds in a browser: the others are in estimate_memory_calls.node.test.ts.
  for (const [name, options, drawing, className] of [
    ["sd15", { dtype: "float16" }, { height: 64, width: 48 }],
    ["sdxl", { dtype: "float16" }, { height: 64, width: 48 }, "StableDiffusionXLImg2ImgPipeline"],
  ] as [string, PipelineOptions, DrawingSize, string?][])
    testEstimate(name, options, drawing, className);

  test("reads configs, and no weights or vocabulary", async () => {
    const base = await openRepository(repo("sd15"));
    const opened = new Set<string>();
    const open: Repository["open"] = (path, options) => {
      opened.add(path);
      return base.open(path, options);
    };
    const estimate = (): Promise<unknown> =>
      estimateMemory({ name: "watched", open }, { variant: "fp16" }, { numInferenceSteps: 1 });
    expect(await warnings(estimate)).toEqual([]); // whether there are such weights is not known
    expect([...opened].sort()).toEqual([
      "model_index.json",
      "scheduler/scheduler_config.json",
      "text_encoder/config.json",
      "unet/config.json",
      "vae/config.json",
    ]);
  });

  for (const [adapter, info] of [
    ["this adapter", null],
    ["a GPU", { vendor: "amd", architecture: "rdna-3", device: "", description: "" }],
  ] as const)
    test(`a call of Stable Diffusion 1.5 in float16 stays within 400 MB above the weights, on ${adapter}`, async () => {
      await withNewDevice(async (real) => {
        const { features, limits, tunings } = real;
        const device = info
          ? blankDevice({ adapterInfo: info as GPUAdapterInfo, features, limits, tunings } as Device)
          : real;
        const { weights, peak } = await estimateMemory(await sd15Size(), { device, dtype: "float16" });
        // 859,520,964 + 123,060,480 + 49,490,199 of the decoder and 34,163,664 of the encoder, of two bytes.
        expect(weights / 2).toBeGreaterThan(1_066_235_307);
        expect(weights / 2).toBeLessThan(1_066_235_307 * 1.001);
        expect(peak - weights).toBeLessThan(400e6);
        expect(peak - weights).toBeGreaterThan(200e6); // the decoder's largest tensors alone
      });
    });

  for (const [pipeline, unet] of [
    ["StableDiffusionImg2ImgPipeline", {}],
    ["StableDiffusionInpaintPipeline", {}],
    ["StableDiffusionInpaintPipeline", { in_channels: 9 }],
    ["StableDiffusionInstructPix2PixPipeline", { in_channels: 8 }],
    ["StableDiffusionControlNetPipeline", {}],
    ["StableDiffusionControlNetImg2ImgPipeline", {}],
    ["StableDiffusionControlNetInpaintPipeline", { in_channels: 9 }],
  ] as const)
    test(`and so does one of ${pipeline} ${JSON.stringify(unet)}`, async () => {
      await withNewDevice(async (device) => {
        const { weights, peak } = await estimateMemory(await sd15Size(pipeline, unet), { device, dtype: "float16" });
        expect(peak - weights).toBeLessThan(400e6);
        expect(peak - weights).toBeGreaterThan(200e6);
      });
    });

  test("more steps take no more: what the timesteps are made into is made before the steps' memory is taken", async () => {
    await withNewDevice(async (device) => {
      const most = async (numInferenceSteps: number): Promise<number> => {
        const size = { numInferenceSteps, outputType: "latent" } as const;
        return (await estimateMemory(await sd15Size(), { device, dtype: "float16" }, size)).peak;
      };
      expect((await most(100)) - (await most(20))).toBeLessThan(10e6);
    });
  });

  test("refuses what cannot be counted, and what no call takes", async () => {
    const unet = UNet2DConditionModel.fromConfig(
      await UNet2DConditionModel.loadConfig(repo("sd15"), { subfolder: "unet" }),
    );
    await expect(estimateMemory(repo("sd15"), { unet })).rejects.toThrow("estimateMemory: unet is loaded already");
    await expect(estimateMemory(repo("sd15"), {}, { size: 512 } as DrawingSize)).rejects.toThrow(
      /`size` \(there are height/,
    );
    await expect(estimateMemory(repo("sd15"), {}, { height: 20 })).rejects.toThrow("divisible by 8");
    await expect(estimateMemory(repo("ddpm-cifar"), {}, { height: 64 })).rejects.toThrow("DDPMPipeline: got options");
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(estimateMemory(repo("sd15"), { signal })).rejects.toThrow("enough");
    const controller = new AbortController();
    const source = await sd15Size();
    const slow = estimateMemory(source, { signal: controller.signal });
    controller.abort(new Error("now"));
    await expect(slow).rejects.toThrow("now");
  });

  test("tells where a picture is too large for the adapter", async () => {
    await withNewDevice(async (device) => {
      const fewer = { maxBufferSize: 1 << 16, maxStorageBufferBindingSize: 1 << 16 };
      const { adapterInfo, features, limits, tunings } = device;
      const small = blankDevice({ adapterInfo, features, limits: fewerLimits(limits, fewer), tunings } as Device);
      await expect(estimateMemory(repo("sd15"), { device: small }, { height: 512, width: 512 })).rejects.toThrow(
        /binds at most 65536|largest buffer/,
      );
    });
  });
});
