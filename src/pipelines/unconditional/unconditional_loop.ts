/** The loop of the pipelines without a prompt: from noise to pictures. */
import type { UNet2DForwardOptions, UNet2DModel } from "../../nn/unet/unet_2d.js";
import type { Scheduler, StepOptions } from "../../schedulers/index.js";
import type { Device } from "../../tensor/device.js";
import type { Tensor } from "../../tensor/tensor.js";
import { FiniteCheck } from "../call/finite_check.js";
import { initialNoise } from "../call/initial_noise.js";
import { outputImages, type ImageOutputType } from "../call/output_images.js";
import { Pace } from "../call/pace.js";
import type { ProgressBar } from "../call/progress_bar.js";
import type { RawImage } from "../images/raw_image.js";

/** A timestep of the schedule. */
export interface TimestepOfLoop {
  t: number;
  /** In the schedule, from 0 on. */
  index: number;
  /** [batch, channels, height, width], float32. */
  sample: Tensor;
  /** What the UNet says of a sample, of its shape. */
  predict(sample: Tensor, time: number, options?: UNet2DForwardOptions): Tensor;
}

/** What comes of a timestep. */
export interface Stepped {
  /** Where the next one begins. */
  sample: Tensor;
  /** What would be the picture if this were the last, where it is not the sample. */
  picture?: Tensor;
}

/** What a class does in the loop. */
export interface Way {
  /** Of the pictures, where it is not that of the UNet's config. */
  shape?: readonly number[];
  /** Default: as many steps as the call asks for. */
  schedule?(): void;
  /** What the loop begins with; default noise drawn in the UNet's dtype. */
  begin?(shape: readonly number[]): Tensor;
  /** Calls of the UNet in a timestep, at most. Default 1. */
  calls?: number;
  /** Tensors made in it are freed, but for those that it gives. */
  step(at: TimestepOfLoop): Stepped;
  /** After each timestep. */
  stepped?(at: Pick<TimestepOfLoop, "t" | "index" | "sample">): void | Promise<void>;
  /** What is drawn, in [-1, 1]; default the picture itself. */
  drawn?(picture: Tensor): Tensor;
  /** Frees what the way holds, after the call. */
  dispose?(): void;
}

/** A call, checked. */
export interface Run {
  unet: UNet2DModel;
  scheduler: Scheduler;
  shape: readonly number[];
  /** null: the way has a schedule of its own. */
  numInferenceSteps: number | null;
  generator: StepOptions["generator"];
  outputType: ImageOutputType;
  signal: AbortSignal | undefined;
}

/** Of the pipeline. */
interface Hooks {
  bar(steps: number): ProgressBar;
  /** False where a call was interrupted. @throws what is said of models that are gone */
  goesOn(): boolean;
}

/** Runs a call and frees all that it made. */
export async function drawImages(device: Device, run: Run, way: Way, hooks: Hooks): Promise<RawImage[] | Tensor> {
  const { unet, scheduler, shape, generator, outputType, signal } = run;
  let last: Stepped | undefined;
  let check: FiniteCheck | undefined;
  try {
    if (way.schedule) way.schedule();
    else scheduler.setTimesteps(run.numInferenceSteps);
    // Sample gaussian noise to begin loop
    last = { sample: way.begin?.(shape) ?? initialNoise(device, shape, { generator, dtype: unet.dtype }) };
    check = new FiniteCheck(device, scheduler.timesteps.length * (way.calls ?? 1) + 1);
    last = await denoise(device, { ...run, check }, way, { noise: last.sample, ...hooks });
    const picture = last.picture ?? last.sample;
    const { images } = await outputImages(device, () => way.drawn?.(picture) ?? picture, outputType, {
      check,
      module: "scheduler",
      signals: [signal],
    });
    return images;
  } finally {
    check?.dispose();
    if (last) disposeStep(last);
    way.dispose?.();
    scheduler.reset();
    device.trim();
    await device.flush();
  }
}

/** Disposes `noise`. */
async function denoise(
  device: Device,
  { unet, scheduler, check, signal }: Run & { check: FiniteCheck },
  way: Way,
  { noise, bar: barFor, goesOn }: Hooks & { noise: Tensor },
): Promise<Stepped> {
  const bar = barFor(scheduler.timesteps.length);
  const pace = new Pace(device);
  let current: Stepped = { sample: noise };
  try {
    for (const [index, t] of scheduler.timesteps.entries()) {
      signal?.throwIfAborted();
      if (!goesOn()) break;
      const before = current;
      const predict = (sample: Tensor, time: number, options?: UNet2DForwardOptions): Tensor => {
        const output = unet.forward(sample, time, options).sample;
        check.look(output, { module: "unet", step: index });
        return output;
      };
      current = device.scope(() => way.step({ t, index, sample: before.sample, predict }));
      disposeStep(before);
      await pace.step();
      await way.stepped?.({ t, index, sample: current.sample });
      bar.update();
    }
    return current;
  } catch (error) {
    disposeStep(current);
    throw error;
  } finally {
    bar.close();
  }
}

function disposeStep({ sample, picture }: Stepped): void {
  sample.dispose();
  picture?.dispose();
}
