/** The package's model from loading to pictures, on a device that has compiled nothing yet. */
import { UNetSteps } from "../src/nn/unet/unet_steps.js";
import { StableDiffusionPipeline } from "../src/pipelines/stable_diffusion/stable_diffusion.js";
import { Generator } from "../src/tensor/random.js";
import { Tensor } from "../src/tensor/tensor.js";
import type { FloatType } from "../test/cases/data.js";
import { Timer } from "./harness.js";
import { kernelTimes } from "./kernel_times.js";
import type { Probe } from "./probe.js";
import type { WholeResult } from "./results.js";
import { cpuTime } from "./roofline.js";
import { summarize, type Summary } from "./statistics.js";

const PROMPT = "a red circle on a white background";
const REPEATS = 7;

export interface WholeOptions {
  /** Folder or URL of a Stable Diffusion model. */
  model: string;
  dtype: FloatType;
  steps: number;
}

/** Yields one number after the other, as they are known. The probe's device must be new. */
export async function* measureWhole(probe: Probe, { model, dtype, steps }: WholeOptions): AsyncGenerator<WholeResult> {
  const { device } = probe;
  const result = (name: string, value: number, unit: WholeResult["unit"] = "ms"): WholeResult => {
    return { kind: "whole", name, dtype, value, unit };
  };
  const timing = (name: string, { median, p10, p90 }: Summary): WholeResult => ({ ...result(name, median), p10, p90 });

  let start = performance.now();
  const pipeline = await StableDiffusionPipeline.fromPretrained(model, { device, dtype });
  await device.synchronize();
  yield result("load", performance.now() - start);
  pipeline.setProgressBarConfig({ disable: true });
  for (const name of ["first picture", "next picture"]) {
    start = performance.now();
    await pipeline(PROMPT, { numInferenceSteps: steps, generator: new Generator().manualSeed(8) });
    yield result(`${name} (${steps} steps, guided)`, performance.now() - start);
  }
  yield result("peak GPU memory", device.memoryUse.peakBytes / 2 ** 20, "MiB");

  const timer = await Timer.create(probe);
  const { tokenizer, text_encoder, unet, vae } = pipeline;
  const { inputIds } = tokenizer([PROMPT, ""], { padding: "max_length", truncation: true });
  yield timing("text encoder, batch 2 (wall clock)", await repeat(() => encode(text_encoder, inputIds), probe));

  const size = unet.config.sample_size as number;
  const { in_channels, cross_attention_dim } = unet.config;
  const made: Tensor[] = [];
  const noise = (seed: number, shape: number[]): Tensor => {
    const values = new Generator().manualSeed(seed).randn(shape);
    const tensor = Tensor.from(values, shape, { dtype, device });
    made.push(tensor);
    return tensor;
  };
  try {
    for (const batch of [1, 2]) {
      const latents = noise(batch, [batch, in_channels, size, size]);
      const context = noise(batch + 2, [batch, inputIds[0].length, [cross_attention_dim].flat()[0]]);
      const step = (): void => device.scope(() => void unet.forward(latents, 500, context));
      step();
      yield timing(`UNet step, batch ${batch} (op by op)`, await timer.time(step));
      if (batch === 1) continue;
      const steps = new UNetSteps(unet, device);
      const replay = (): void => device.scope(() => void steps.predict(latents, 500, context));
      for (const [name, run] of [
        ["record and submit", step],
        ["replay of the recorded step", replay],
      ] as const) {
        run();
        const cpu: number[] = [];
        for (let i = 0; i < REPEATS; i++) cpu.push(await cpuTime(timer, run));
        yield timing(`CPU per UNet step, batch 2 (${name})`, summarize(cpu));
      }
      yield timing("UNet step, batch 2 (replay)", await timer.time(replay));
      yield result("dispatches per UNet step (replay)", (await probe.watch(replay)).dispatches, "dispatches");
      yield result("planned memory of the UNet step", steps.plannedBytes / 2 ** 20, "MiB");
      yield* await kernelTimes(timer, { name: "UNet step, batch 2 (replay)", dtype }, replay);
      steps.dispose();
    }
    const z = noise(9, [1, vae.config.latent_channels, size, size]);
    const decode = (): void => device.scope(() => void vae.decode(z));
    decode();
    yield timing("VAE decode", await timer.time(decode));
  } finally {
    for (const tensor of made) tensor.dispose();
    pipeline.dispose();
  }
}

async function encode(
  model: StableDiffusionPipeline["text_encoder"],
  ids: readonly (readonly number[])[],
): Promise<void> {
  const { lastHiddenState, pooledOutput, hiddenStates } = await model.forward(ids);
  for (const tensor of [lastHiddenState, pooledOutput, ...hiddenStates]) tensor.dispose();
}

/** Wall-clock time of work that waits by itself. */
async function repeat(work: () => Promise<void>, probe: Probe): Promise<Summary> {
  await work();
  const times: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    await probe.device.synchronize();
    const start = performance.now();
    await work();
    await probe.device.synchronize();
    times.push(performance.now() - start);
  }
  return summarize(times);
}
