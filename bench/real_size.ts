/** A model of Stable Diffusion 1.5's size at 512x512: loading, one guided step, the VAE's decode; memory against the weights'. */
import { UNetSteps } from "../src/nn/unet/unet_steps.js";
import { StableDiffusionPipeline } from "../src/pipelines/stable_diffusion/stable_diffusion.js";
import { Generator } from "../src/tensor/random.js";
import { Tensor } from "../src/tensor/tensor.js";
import type { FloatType } from "../test/cases/data.js";
import { Timer } from "./harness.js";
import { kernelTimes } from "./kernel_times.js";
import type { Probe } from "./probe.js";
import type { WholeResult } from "./results.js";
import { REAL_DECODE, REAL_SIZE, REAL_STEP } from "./sections.js";
import { summarize } from "./statistics.js";

const PROMPT = "a red circle on a white background";

/** Steps after the first; a CPU adapter takes a minute for one. */
const STEPS = { software: 1, hardware: 12 };

/** Yields one number after the other. The probe's device must be new. */
export async function* measureRealSize(
  probe: Probe,
  { model, dtype }: { model: string; dtype: FloatType },
): AsyncGenerator<WholeResult> {
  const { device } = probe;
  const count = STEPS[device.isSoftware ? "software" : "hardware"];
  const result = (name: string, value: number, unit: WholeResult["unit"] = "ms"): WholeResult => {
    return { kind: "whole", name: `${REAL_SIZE}, ${name}`, dtype, value, unit };
  };
  let start = performance.now();
  const pipeline = await StableDiffusionPipeline.fromPretrained(model, { device, dtype });
  await device.synchronize();
  yield result("load", performance.now() - start);
  pipeline.setProgressBarConfig({ disable: true });
  const weights = device.memoryUse.bytes;
  yield result("weights", weights / 2 ** 20, "MiB");

  const stepEnds: number[] = [];
  start = performance.now();
  const { images: latents } = await pipeline(PROMPT, {
    numInferenceSteps: count + 1,
    guidanceScale: 7.5,
    outputType: "latent",
    generator: new Generator().manualSeed(8),
    callbackOnStepEnd: async () => {
      await device.synchronize();
      stepEnds.push(performance.now() - start);
      return undefined;
    },
  });
  stepEnds.unshift(0);
  const steps = stepEnds.slice(1).map((end, i) => end - stepEnds[i]);
  yield result("first guided step at 512x512, prompt and compiling included", steps[0]);
  const { median, p10, p90 } = summarize(steps.slice(1));
  yield { ...result(REAL_STEP, median), p10, p90 };
  yield result("peak above the weights, steps", (device.memoryUse.peakBytes - weights) / 2 ** 20, "MiB");

  const decode = async (): Promise<Tensor> => {
    start = performance.now();
    const picture = await pipeline.decodeLatents(latents, "np");
    await device.synchronize();
    return picture;
  };
  const picture = await decode();
  yield result("VAE decode to 512x512, compiling included", performance.now() - start);
  (await decode()).dispose();
  yield result(REAL_DECODE, performance.now() - start);
  yield result("peak above the weights, with the VAE", (device.memoryUse.peakBytes - weights) / 2 ** 20, "MiB");
  const values = await picture.data();
  if (!values.every(Number.isFinite)) throw new Error("real size: the picture has numbers that are not finite");
  for (const tensor of [latents, picture]) tensor.dispose();
  for (const result of await stepByKernel(probe, pipeline, dtype)) yield result;
  pipeline.dispose();
}

async function stepByKernel(probe: Probe, { unet }: StableDiffusionPipeline, dtype: FloatType): Promise<WholeResult[]> {
  const { device } = probe;
  const timer = await Timer.create(probe);
  const { in_channels: channels, cross_attention_dim: width, sample_size: size } = unet.config;
  const generator = new Generator().manualSeed(8);
  const [sample, context] = [[2, channels, size, size] as number[], [2, 77, [width].flat()[0] as number]].map((shape) =>
    Tensor.from(generator.randn(shape), shape, { dtype, device }),
  );
  const steps = new UNetSteps(unet, device);
  const record = (): void => device.scope(() => void steps.predict(sample, 500, context));
  try {
    record(); // what depends on the prompt or the schedule alone
    return await kernelTimes(timer, { name: `${REAL_SIZE}, a guided step`, dtype }, record);
  } finally {
    steps.dispose();
    for (const tensor of [sample, context]) tensor.dispose();
  }
}
