import { describe, expect, test } from "vitest";
import { ResnetBlock2D, type ResnetOptions } from "../../src/nn/resnet.js";
import { UNet2DConditionModel } from "../../src/nn/unet/unet_2d_condition.js";
import type { Device } from "../../src/tensor/device.js";
import { concat } from "../../src/tensor/ops/shape.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random } from "../cases/data.js";
import { fixturePath } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import * as gpu from "../support/gpu.js";
import { asTensor } from "../support/models.js";

const random = new Random(5);
const numbers = (device: Device, shape: readonly number[], std = 1): Tensor =>
  Tensor.from(random.normal(shape.reduce((a, b) => a * b, 1) as number, { std }), shape, { device });

function blockOf(device: Device, options: Partial<ResnetOptions>): ResnetBlock2D {
  const block = new ResnetBlock2D({
    inChannels: 24,
    outChannels: 16,
    tembChannels: null,
    groups: 4,
    eps: 1e-5,
    ...options,
  });
  for (const [, parameter] of block.parameters()) parameter.assign(numbers(device, parameter.packedShape, 0.2));
  return block;
}

describe("skip connections", () => {
  gpu.checkLeaks();

  const CASES: [name: string, below: number, beside: number, options: Partial<ResnetOptions>, joined: boolean][] = [
    ["channels that fill quads", 16, 8, {}, true],
    ["groups over the border", 12, 12, { groups: 3, groupsOut: 4 }, true],
    ["another activation", 8, 16, { activation: "gelu" }, true],
    ["channels that fill no quads", 14, 10, {}, false],
    ["no convolution in the shortcut", 8, 8, { inChannels: 16 }, false],
    ["resampled", 16, 8, { resample: (x: Tensor) => x.reshape([2, 2, 6, 24]) }, false],
  ];
  for (const [name, below, beside, options, joined] of CASES)
    test(`a ResNet block: ${name}`, async () => {
      const device = await gpu.testDevice();
      const block = blockOf(device, options);
      const [x, skip] = [below, beside].map((channels) => numbers(device, [2, 3, 4, channels]));
      const wanted = await gpu.take(device.scope(() => block.forward(concat(x, skip, 3))));
      const results: Tensor[] = [];
      const kernels = await gpu.kernelsRun(() => void results.push(block.forward(x, undefined, skip)));
      const got = await gpu.take(results[0]);
      const close = { relative: 0, ofScale: 64 * gpu.EPSILON };
      gpu.expectClose(
        name,
        got,
        gpu.want((i) => wanted[i], wanted.length),
        close,
      );
      expect(kernels.includes("concat")).toBe(!joined);
      for (const made of [x, skip, ...[...block.parameters()].map(([, parameter]) => parameter)]) made.dispose();
    });

  test("the kernels of GPUs have every shortcut in the second convolution", async () => {
    const device = await gpu.testDevice();
    const block = blockOf(device, {});
    const x = numbers(device, [2, 3, 4, 24]);
    const wanted = await gpu.take(block.forward(x));
    await gpu.asHardware(async () => {
      const results: Tensor[] = [];
      const kernels = await gpu.kernelsRun(() => void results.push(block.forward(x)));
      expect(kernels).not.toContain("matmul");
      const close = { relative: 0, ofScale: 64 * gpu.EPSILON };
      gpu.expectClose(
        "fused",
        await gpu.take(results[0]),
        gpu.want((i) => wanted[i], wanted.length),
        close,
      );
    });
    for (const [, parameter] of block.parameters()) parameter.dispose();
    x.dispose();
  });

  for (const [repository, golden] of [
    ["sd15", "sd15_base"],
    ["sd21", "sd21_base"],
    ["sdxl", "sdxl_base"],
  ])
    test(`are not copied in the UNet of ${repository}, with FreeU neither`, async () => {
      const device = await gpu.testDevice();
      const from = fixturePath(`models/repos/${repository}`);
      const unet = await UNet2DConditionModel.fromPretrained(from, { subfolder: "unet", device });
      const goldens = await readGolden(`models/gold/unet/${golden}.safetensors`);
      const inputs = ["in.sample", "in.encoder_hidden_states", "in.added.text_embeds", "in.added.time_ids"].map(
        (key) => (goldens.has(key) ? asTensor(goldens, key) : null),
      );
      const [sample, prompt, textEmbeds, timeIds] = inputs;
      const addedCondKwargs = textEmbeds && timeIds ? { textEmbeds, timeIds } : undefined;
      const draw = (): void => unet.forward(sample!, 9, prompt!, { addedCondKwargs }).sample.dispose();
      const copied = async (): Promise<number> =>
        (await gpu.kernelsRun(draw)).filter((kernel) => kernel === "concat").length;
      // SDXL's added embeddings are concatenated, with the width of one number per image.
      const others = addedCondKwargs ? 1 : 0;
      expect(await copied()).toBe(others);
      unet.enableFreeu({ s1: 0.9, s2: 0.2, b1: 1.5, b2: 1.6 });
      expect(await copied()).toBe(others);
      for (const tensor of [...inputs, unet]) tensor?.dispose();
    });
});
