import { describe, expect, test } from "vitest";
import { AutoencoderKL } from "../../src/nn/vae/autoencoder_kl.js";
import { DiagonalGaussian } from "../../src/nn/vae/diagonal_gaussian.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { fixturePath, readFixture } from "../support/files.js";
import * as gpu from "../support/gpu.js";
import { readGolden } from "../support/goldens.js";
import type { Repository } from "../../src/index.js";
import { differences } from "../support/pipelines.js";
import { changed, parseSafetensors, writeSafetensors } from "../support/repositories.js";
import { asTensor, expectIntermediates, expectMatches, recordOutputs, TOLERANCE } from "../support/models.js";

const CASES = [
  { golden: "sd15", repo: "sd15", subfolder: "vae" },
  { golden: "sd15", repo: "sd15-hub", subfolder: "vae" }, // the same weights under the attention names of 2022
  { golden: "sd15_deep", repo: "sd15", subfolder: "vae" },
  { golden: "sd15_nonsquare_b2", repo: "sd15", subfolder: "vae" },
  { golden: "sd15_oddsize", repo: "sd15", subfolder: "vae" },
  { golden: "sd21", repo: "sd21", subfolder: "vae" },
  { golden: "sdxl", repo: "sdxl", subfolder: "vae" },
  { golden: "sd15_tiled", repo: "sd15", subfolder: "vae" }, // larger than the tiles of 64 pixels
  { golden: "noquant", repo: "vae-noquant", subfolder: "" },
] as const;

const COMPARABLE = /(resnets\.\d|attentions\.\d|samplers\.0|conv_in|conv_out|mid_block|_blocks\.\d|quant_conv)$/;

/** Where a case's model is. The hub's form of SD 1.x: today's weights under the attention names of 2022. */
async function sourceOf(repo: string): Promise<string | Repository> {
  if (repo !== "sd15-hub") return fixturePath(`models/repos/${repo}`);
  const file = "vae/diffusion_pytorch_model.safetensors";
  const names: Record<string, string> = { to_q: "query", to_k: "key", to_v: "value", "to_out.0": "proj_attn" };
  const old = (key: string): string => key.replace(/to_q|to_k|to_v|to_out\.0/, (name) => names[name]);
  const tensors = [...parseSafetensors(await readFixture(`models/repos/sd15/${file}`))];
  return changed(fixturePath("models/repos/sd15-hub"), {
    [file]: writeSafetensors(new Map(tensors.map(([key, tensor]) => [old(key), tensor]))),
  });
}

describe("AutoencoderKL", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const { golden, repo, subfolder } of CASES)
      test(`${golden} from ${repo} in ${dtype}`, async () => {
        const bound = TOLERANCE[dtype];
        const goldens = await readGolden(`models/gold/vae/${golden}.safetensors`);
        const model = await AutoencoderKL.fromPretrained(await sourceOf(repo), { subfolder, dtype });
        if (golden === "sd15_tiled") model.enableTiling();
        const outputs = recordOutputs(model, (path) => COMPARABLE.test(path) && goldens.has(`mid.${path}`));

        const image = asTensor(goldens, "in.image");
        const { latentDist } = model.encode(image);
        await expectMatches(latentDist.mean, goldens.get("out.mean"), "out.mean", bound);
        await expectMatches(latentDist.logvar, goldens.get("out.logvar"), "out.logvar", bound);
        await expectMatches(latentDist.mode(), goldens.get("out.mode"), "out.mode", bound);
        const drawn = latentDist.sample(new Generator("cpu").manualSeed(8));
        await expectMatches(drawn, goldens.get("out.sample_seed8"), "out.sample_seed8", bound);

        const latents = asTensor(goldens, "in.latents");
        const { sample } = model.decode(latents);
        await expectMatches(sample, goldens.get("out.decoded"), "out.decoded", bound);
        const compared = await expectIntermediates(outputs, goldens, bound);
        if (golden === "sd15_deep") expect(compared).toBeGreaterThan(30);

        for (const tensor of [image, latentDist, drawn, latents, sample, model]) tensor.dispose();
      });

  // Numbers of torch 2.13.0.
  test("a float16 posterior draws float16 noise", async () => {
    const device = await ensureDevice();
    const posterior = new DiagonalGaussian(
      Tensor.from(new Float32Array(2 * 21), [1, 2, 3, 7], { device, dtype: "float16" }),
    );
    const drawn = posterior.sample(new Generator("cpu").manualSeed(8));
    const head = [-1.189, 1.394, 2.105, -0.3545, 0.3711, 0.4414, 0.6592, -0.7583, -0.6001, -0.3948, -1.132, 0.4172];
    const tail = [-0.5684, -1.753, 0.3921, 0.8296, 0.09082, -0.4688, 0.3833, 0.2277, 1.211];
    const expected = [...head, ...tail];
    (await drawn.data()).forEach((value, i) => expect(value).toBeCloseTo(expected[i], 2));
    for (const tensor of [drawn, posterior]) tensor.dispose();
  });

  test("log-variances are clamped", async () => {
    const device = await ensureDevice();
    const moments = Tensor.from(Float32Array.of(0, 0, 0, 0, 50, -50, 1, -31), [1, 2, 2, 2], { device });
    const posterior = new DiagonalGaussian(moments);
    expect(Array.from(await posterior.logvar.data())).toEqual([20, -30, 1, -30]);
    posterior.dispose();
  });

  test("slicing changes nothing, and tiles are undone", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "vae" });
    const goldens = await readGolden("models/gold/vae/sd15_nonsquare_b2.safetensors");
    const latents = asTensor(goldens, "in.latents");
    const expected = goldens.get("out.decoded");
    model.enableSlicing();
    const one = model.decode(latents);
    await expectMatches(one.sample, expected, "slices", TOLERANCE.float32);
    model.disableSlicing();
    model.enableTiling();
    model.tileLatentMinSize = 4; // two tiles across the 5 columns
    model.tileSampleMinSize = 32;
    const two = model.decode(latents);
    expect(two.sample.shape).toEqual(one.sample.shape);
    await expect(expectMatches(two.sample, expected, "tiles", TOLERANCE.float32)).rejects.toThrow("differs by");
    model.disableTiling();
    const three = model.decode(latents);
    await expectMatches(three.sample, expected, "whole again", TOLERANCE.float32);
    model.enableTiling();
    model.tileOverlapFactor = 1;
    expect(() => model.decode(latents)).toThrow("overlap 1 cannot be laid out: stride would be 0");
    for (const tensor of [latents, one.sample, two.sample, three.sample, model]) tensor.dispose();
  });

  for (const dtype of ["float32", "float16"] as const)
    test(`encodes and decodes where no binding holds the larger tensors, in ${dtype}`, async () => {
      const device = await gpu.testDevice();
      const model = await AutoencoderKL.fromPretrained(fixturePath("models/repos/sd21"), {
        subfolder: "vae",
        dtype,
        device,
      });
      const goldens = await readGolden("models/gold/vae/sd21.safetensors");
      const [image, latents] = ["in.image", "in.latents"].map((name) => asTensor(goldens, name, device));
      // The images themselves fit, their 24 x 32 pixels of 8 channels don't.
      await gpu.withLimit(24 * 1024, async () => {
        const { latentDist } = model.encode(image);
        const { sample } = model.decode(latents);
        await expectMatches(latentDist.mean, goldens.get("out.mean"), "out.mean", TOLERANCE[dtype]);
        await expectMatches(sample, goldens.get("out.decoded"), "out.decoded", TOLERANCE[dtype]);
        for (const tensor of [latentDist, sample]) tensor.dispose();
      });
      for (const each of [image, latents, model]) each.dispose();
    });

  test("large pictures go through one after another, with the numbers that each has by itself", async () => {
    const device = await gpu.testDevice();
    const model = await AutoencoderKL.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "vae", device });
    const noise = (...shape: number[]): Tensor =>
      Tensor.from(new Generator("cpu").manualSeed(3).randn(shape), shape, { device });
    for (const [side, isLarge] of [
      [31, false],
      [32, true],
    ] as const) {
      const both = noise(2, 4, side, side);
      const first = slice(both, 0, 0, 1);
      const samples: Tensor[] = [];
      const kernels = (z: Tensor): Promise<string[]> => gpu.kernelsRun(() => samples.push(model.decode(z).sample));
      const [together, alone] = [(await kernels(both)).length, (await kernels(first)).length];
      expect(together >= 2 * alone, `${together} kernels for two, ${alone} for one`).toBe(isLarge);
      const [ofBoth, ofFirst] = await Promise.all(samples.map((sample) => sample.data()));
      if (isLarge) expect(Array.from(ofBoth.subarray(0, ofFirst.length))).toEqual(Array.from(ofFirst));
      for (const tensor of [both, first, ...samples]) tensor.dispose();
    }
    model.dispose();
  });

  test("forward encodes and decodes: the mode, or a sample, and leaves nothing behind", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "vae" });
    const goldens = await readGolden("models/gold/vae/sd15.safetensors");
    const image = asTensor(goldens, "in.image");
    const seeded = (): Generator => new Generator("cpu").manualSeed(8);
    const { latentDist } = model.encode(image);
    const drawn = latentDist.sample(seeded());
    const live = (): number => image.device.memoryUse.buffers - image.device.memoryUse.pooledBuffers;
    for (const [z, options] of [
      [latentDist.mode(), undefined],
      [drawn, { samplePosterior: true, generator: seeded() }],
      [drawn, { sample_posterior: true, generator: seeded() } as object],
      [latentDist.mode(), { samplePosterior: false, generator: seeded() }],
    ] as const) {
      const expected = model.decode(z).sample;
      const before = live();
      const { sample } = model.forward(image, options);
      expect(live()).toBe(before + 1);
      expect(sample.shape).toEqual(image.shape);
      expect(Array.from(await sample.data())).toEqual(Array.from(await expected.data()));
      for (const tensor of [sample, expected]) tensor.dispose();
    }
    expect(() => model.forward(drawn)).toThrow("AutoencoderKL.forward: takes [batch, 3, height, width], got [");
    expect(() => model.forward([1] as unknown as Tensor)).toThrow("AutoencoderKL.forward: its input [batch, 3, height");
    for (const tensor of [image, latentDist, drawn, model]) tensor.dispose();
  });

  // Every 1024th number that diffusers 0.42.1 and torch 2.13.0 give.
  test("forward gives diffusers' numbers", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "vae" });
    const image = asTensor(await readGolden("models/gold/vae/sd15.safetensors"), "in.image");
    const mode = [-0.23917, -0.29511, 0.05312, 0.14979, -0.05943, -0.04723, 0.41107, 0.212, 0.08633, 0.0678];
    const drawn = [-0.23949, -0.28393, 0.04518, 0.12812, -0.05908, -0.04367, 0.41316, 0.19063, 0.08651, 0.06239];
    const generator = new Generator("cpu").manualSeed(8);
    for (const [options, expected] of [
      [{ generator }, [...mode, -0.10892, -0.12997]],
      [{ samplePosterior: true, generator }, [...drawn, -0.10311, -0.11279]],
    ] as const) {
      const { sample } = model.forward(image, options);
      const values = (await sample.data()).filter((_, i) => i % 1024 === 0);
      expect(differences(values, expected).worst).toBeLessThan(4e-5); // a standard deviation is 0.37
      sample.dispose();
    }
    for (const owned of [image, model]) owned.dispose();
  });

  test("refuses wrong shapes", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "vae" });
    const goldens = await readGolden("models/gold/vae/sd15.safetensors");
    const image = asTensor(goldens, "in.image");
    expect(() => model.decode(image)).toThrow("AutoencoderKL.decode: takes [batch, 4, height, width]");
    image.dispose();
    model.dispose();
  });
});
