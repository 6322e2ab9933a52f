import { describe, expect, test } from "vitest";
import { AutoencoderKL } from "../../src/nn/vae/autoencoder_kl.js";
import { UNet2DConditionModel } from "../../src/nn/unet/unet_2d_condition.js";
import { UNetSteps } from "../../src/nn/unet/unet_steps.js";
import type { Device } from "../../src/tensor/device.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { fixturePath } from "../support/files.js";
import { readGolden, type Golden } from "../support/goldens.js";
import * as gpu from "../support/gpu.js";
import { asTensor, relativeError } from "../support/models.js";

/** Largest difference over the standard deviation: sums in another order, through some sixty layers. */
const BOUND = 1e-5;

describe("fast kernels and recorded steps against the reference kernels, run op by op", () => {
  gpu.checkLeaks();

  async function compare(reference: () => Tensor, fast: () => Tensor): Promise<void> {
    const wanted = await gpu.pretending({ plainKernels: true }, () => gpu.take(reference()));
    const golden = { dtype: "F32", data: wanted, shape: [wanted.length] } as Golden;
    const error = relativeError(await gpu.take(fast()), golden);
    expect(error).toBeLessThan(BOUND);
    expect(error).toBeGreaterThan(0); // other kernels have run
  }

  const from = async (subfolder: string): Promise<[string, { subfolder: string; device: Device }]> => [
    fixturePath("models/repos/sd15"),
    { subfolder, device: await gpu.testDevice() },
  ];

  test("UNet", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(...(await from("unet")));
    const goldens = await readGolden("models/gold/unet/sd15_base.safetensors");
    const [sample, prompt] = ["in.sample", "in.encoder_hidden_states"].map((name) => asTensor(goldens, name));
    const steps = new UNetSteps(unet, sample.device);
    const replayed = (): Tensor => {
      steps.predict(sample, 3, prompt).dispose();
      return steps.predict(sample, 981, prompt);
    };
    await compare(() => unet.forward(sample, 981, prompt).sample, replayed);
    expect(steps.plannedBytes).toBeGreaterThan(0);
    steps.dispose();
    for (const tensor of [sample, prompt]) tensor.dispose();
    unet.dispose();
  });

  test("VAE", async () => {
    const vae = await AutoencoderKL.fromPretrained(...(await from("vae")));
    const latents = asTensor(await readGolden("models/gold/vae/sd15.safetensors"), "in.latents");
    const decode = (): Tensor => vae.decode(latents).sample;
    await compare(decode, decode);
    latents.dispose();
    vae.dispose();
  });
});
