import { describe, expect, test } from "vitest";
import { AutoencoderTiny } from "../../src/nn/vae/autoencoder_tiny.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { fixturePath } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { asTensor, expectMatches, TOLERANCE } from "../support/models.js";
import { differences } from "../support/pipelines.js";

const load = (options = {}): Promise<AutoencoderTiny> =>
  AutoencoderTiny.fromPretrained(fixturePath("models/repos/taesd"), options);

describe("AutoencoderTiny", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const slices of [false, true])
      test(`taesd in ${dtype}${slices ? ", image by image" : ""}`, async () => {
        const goldens = await readGolden("models/gold/vae/taesd.safetensors");
        const model = await load({ dtype });
        if (slices) model.enableSlicing();
        const [image, given] = [asTensor(goldens, "in.image"), asTensor(goldens, "in.latents")];
        const { latents } = model.encode(image);
        await expectMatches(latents, goldens.get("out.latents"), "out.latents", TOLERANCE[dtype]);
        const { sample } = model.decode(given);
        await expectMatches(sample, goldens.get("out.decoded"), "out.decoded", TOLERANCE[dtype]);
        expect(model.scaleFactor).toBe(image.shape[2] / latents.shape[2]);
        for (const tensor of [image, given, latents, sample, model]) tensor.dispose();
      });

  test("latents are scaled to [0, 1] and back", async () => {
    const model = await load();
    const x = Tensor.from([-9, -3, -1.5, 0, 2.25, 3, 4], [7]);
    const scaled = model.scaleLatents(x);
    expect([...(await scaled.data())]).toEqual([0, 0, 0.25, 0.5, 0.875, 1, 1]);
    const back = model.unscaleLatents(scaled);
    expect([...(await back.data())]).toEqual([-3, -3, -1.5, 0, 2.25, 3, 3]);
    for (const tensor of [x, scaled, back, model]) tensor.dispose();
  });

  test("what is NaN on the way stays so: pipelines report it, and paint nothing", async () => {
    const model = await load();
    for (const spoilt of [true, false]) {
      const numbers = new Float32Array(2 * 4 * 4 * 4).fill(0.5);
      if (spoilt) numbers[0] = NaN;
      const latents = Tensor.from(numbers, [2, 4, 4, 4]);
      const { sample } = model.decode(latents);
      expect((await sample.data()).some(Number.isNaN)).toBe(spoilt);
      for (const tensor of [latents, sample]) tensor.dispose();
    }
    model.dispose();
  });

  for (const dtype of ["float32", "float16"] as const)
    test(`forward rounds latents to bytes, as if they were stored as a picture, in ${dtype}`, async () => {
      const model = await load({ dtype });
      const goldens = await readGolden("models/gold/vae/taesd.safetensors");
      const image = asTensor(goldens, "in.image");
      const { latents } = model.encode(image);
      const scaled = model.scaleLatents(latents);
      // Halves round to even in JavaScript's typed arrays as in torch's round().
      const bytes = Uint8ClampedArray.from(await scaled.data(), (x) => Math.fround(x * 255));
      const stored = Tensor.from(
        Float32Array.from(bytes, (byte) => byte / 255),
        scaled.shape,
      );
      const unscaled = model.unscaleLatents(stored);
      const expected = model.decode(unscaled).sample;
      const live = (): number => image.device.memoryUse.buffers - image.device.memoryUse.pooledBuffers;
      const before = live();
      const { sample } = model.forward(image);
      expect(live()).toBe(before + 1);
      await expectMatches(sample, { shape: expected.shape, data: await expected.data() } as never, "forward", 1e-5);
      const plain = model.decode(latents).sample;
      await expect(
        expectMatches(sample, { shape: plain.shape, data: await plain.data() } as never, "unrounded", 1e-4),
      ).rejects.toThrow("differs by");
      for (const tensor of [image, latents, scaled, stored, unscaled, expected, sample, plain, model]) tensor.dispose();
    });

  // Every 256th number that diffusers 0.42.1 and torch 2.13.0 give.
  test("forward gives diffusers' numbers", async () => {
    const model = await load();
    const image = asTensor(await readGolden("models/gold/vae/taesd.safetensors"), "in.image");
    const { sample } = model.forward(image);
    expect(sample.shape).toEqual([2, 3, 16, 32]);
    const values = (await sample.data()).filter((_, i) => i % 256 === 0);
    const first = [-1.4625, -1.37878, -0.83841, -0.87937, -1.29795, -1.41901];
    const second = [-1.46294, -1.3662, -0.8394, -0.88175, -1.29871, -1.42586];
    expect(differences(values, [...first, ...second]).worst).toBeLessThan(3e-5); // without rounding to bytes 1e-2
    for (const tensor of [image, sample, model]) tensor.dispose();
  });

  test("refuses what is no tensor of its channels", async () => {
    const model = await load();
    for (const method of ["encode", "decode", "forward"] as const) {
      const channels = method === "decode" ? 4 : 3;
      for (const wrong of [[1], undefined, 5])
        expect(() => model[method](wrong as unknown as Tensor)).toThrow(
          `AutoencoderTiny.${method}: its input [batch, ${channels}, height, width] must be a Tensor, got `,
        );
      const x = Tensor.from([1], [1]);
      expect(() => model[method](x)).toThrow(`AutoencoderTiny.${method}: takes [batch, ${channels}, height, width]`);
      x.dispose();
    }
    model.dispose();
  });

  test("the sides of odd pictures are rounded up, and other zooms than 2 are drawn", async () => {
    const model = await load();
    const image = Tensor.from(new Float32Array(3 * 17 * 9).fill(0.5), [1, 3, 17, 9]);
    const { latents } = model.encode(image);
    expect(latents.shape).toEqual([1, 4, 3, 2]);
    for (const tensor of [image, latents, model]) tensor.dispose();
    const other = await load({ config: { upsampling_scaling_factor: 3 } });
    const z = Tensor.from(new Float32Array(4 * 2), [1, 4, 2, 1]);
    const { sample } = other.decode(z);
    expect(sample.shape).toEqual([1, 3, 54, 27]);
    for (const tensor of [z, sample, other]) tensor.dispose();
  });

  test("names what it cannot compute", () => {
    expect(() => new AutoencoderTiny({ act_fn: "silu" })).toThrow('config act_fn = "silu" is not supported');
    expect(() => new AutoencoderTiny({ encoder_block_out_channels: [64, 64, 32, 64] })).toThrow(
      "encoder_block_out_channels = [64, 64, 32, 64] must be one width throughout",
    );
    expect(() => new AutoencoderTiny({ num_decoder_blocks: [1] })).toThrow(
      "decoder_block_out_channels and num_decoder_blocks need as many entries, got 4 and 1",
    );
  });
});
