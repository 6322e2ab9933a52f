import { beforeAll, describe, expect, test } from "vitest";
import { UNet2DConditionModel } from "../../src/nn/unet/unet_2d_condition.js";
import { UNetSteps } from "../../src/nn/unet/unet_steps.js";
import type { Device } from "../../src/tensor/device.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random } from "../cases/data.js";
import { fixturePath } from "../support/files.js";
import { readGolden, type Golden } from "../support/goldens.js";
import * as gpu from "../support/gpu.js";
import { asTensor, relativeError } from "../support/models.js";

/** Over the standard deviation: rows of a table come from a product of another height than those of one step. */
const BOUND = 1e-5;

describe("UNetSteps", () => {
  let device: Device;
  beforeAll(async () => void (device = await gpu.testDevice()));
  gpu.checkLeaks();

  /** Dispatches of kernels by the name of their label's first word, while `work` runs. */
  function kernelsOf(work: () => void): string[] {
    const names: string[] = [];
    const original = device.run.bind(device);
    device.run = (run) => (names.push(run.kernel.name), original(run));
    try {
      work();
    } finally {
      device.run = original;
    }
    return names;
  }

  async function compare(got: Tensor, wanted: Tensor): Promise<void> {
    const data = await gpu.take(wanted);
    const golden = { dtype: "F32", data, shape: [data.length] } as Golden;
    expect(relativeError(await gpu.take(got), golden)).toBeLessThan(BOUND);
  }

  test("every timestep of a schedule, known before or not, is what forward() gives; only the first makes a table", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), {
      subfolder: "unet",
      device,
    });
    const goldens = await readGolden("models/gold/unet/sd15_base.safetensors");
    const [sample, prompt] = ["in.sample", "in.encoder_hidden_states"].map((name) => asTensor(goldens, name));
    // More than one table's rows, with repetitions and fractions, as schedulers have them.
    const timesteps = [981, 981, 950.5, ...Array.from({ length: 80 }, (_, i) => 900 - 10 * i), 3];
    const steps = new UNetSteps(unet, device, timesteps);
    const predict = (t: number): Tensor => steps.predict(sample, t, prompt);
    try {
      await compare(predict(981), unet.forward(sample, 981, prompt).sample);
      for (const t of [981, 950.5, 900, 400])
        expect(
          kernelsOf(() => predict(t).dispose()),
          `timestep ${t} of the first table`,
        ).toEqual([]);
      for (const t of [950.5, 900, 3, 17, 981]) await compare(predict(t), unet.forward(sample, t, prompt).sample);
      // One timestep per image is no schedule's.
      await compare(
        steps.predict(sample, [5, 700].slice(0, sample.shape[0]), prompt),
        unet.forward(sample, [5, 700].slice(0, sample.shape[0]), prompt).sample,
      );
    } finally {
      steps.dispose();
      for (const tensor of [sample, prompt]) tensor.dispose();
      unet.dispose();
    }
  });

  test("a schedule of more timesteps than a table has rows is recorded once: the next table changes no shape of the step", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), {
      subfolder: "unet",
      device,
    });
    const goldens = await readGolden("models/gold/unet/sd15_base.safetensors");
    const [sample, prompt] = ["in.sample", "in.encoder_hidden_states"].map((name) => asTensor(goldens, name));
    const timesteps = Array.from({ length: 140 }, (_, i) => 990 - 7 * i);
    const steps = new UNetSteps(unet, device, timesteps);
    const kernels = (i: number): string[] => kernelsOf(() => steps.predict(sample, timesteps[i], prompt).dispose());
    try {
      expect(kernels(0)).toContain("conv2d");
      const bytes = steps.plannedBytes;
      const table = kernels(128);
      expect(table).toContain("matmul");
      expect(table).not.toContain("conv2d");
      expect(kernels(139)).toEqual([]);
      expect(steps.plannedBytes).toBe(bytes);
      await compare(steps.predict(sample, timesteps[128], prompt), unet.forward(sample, timesteps[128], prompt).sample);
    } finally {
      steps.dispose();
      for (const tensor of [sample, prompt]) tensor.dispose();
      unet.dispose();
    }
  });

  test("a condition on the timestep (distilled models) has its own rows, and another its own table", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/lcm"), {
      subfolder: "unet",
      device,
    });
    const { in_channels: channels, time_cond_proj_dim: dim, cross_attention_dim: width } = unet.config;
    const random = new Random(1);
    const made = (shape: number[]): Tensor =>
      Tensor.from(random.normal(shape.reduce((a, b) => a * b)), shape, { device });
    const [sample, prompt] = [made([2, channels, 8, 8]), made([2, 7, [width].flat()[0]])];
    const conditions = [made([2, dim!]), made([2, dim!])];
    const steps = new UNetSteps(unet, device, [999, 759, 499]);
    try {
      for (const timestepCond of conditions)
        for (const t of [999, 759, 499])
          await compare(
            steps.predict(sample, t, prompt, { timestepCond }),
            unet.forward(sample, t, prompt, { timestepCond }).sample,
          );
    } finally {
      steps.dispose();
      for (const tensor of [sample, prompt, ...conditions]) tensor.dispose();
      unet.dispose();
    }
  });

  test("all time projections are one product, outside of what is replayed", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), {
      subfolder: "unet",
      device,
    });
    const projections = [...unet.parameters()].filter(([key]) => key.endsWith("time_emb_proj.weight"));
    expect(projections.length).toBeGreaterThan(5);
    expect(new Set(projections.map(([, { holder }]) => holder)).size).toBe(1);
    const tables = unet.embedSchedule(device, [1, 2, 3]);
    const outputs = projections.reduce((sum, [, { shape }]) => sum + shape[0], 0);
    expect(tables.map(({ shape }) => shape)).toEqual([[3, outputs]]);
    for (const table of tables) table.dispose();
    unet.dispose();
  });
});
