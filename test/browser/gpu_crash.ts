// The page of test/pipelines/gpu_crash.node.test.ts: a pipeline at work, which asks Node to end the GPU at a moment of it.
import { DiffusionPipeline, Generator, type StableDiffusionPipeline } from "../../src/index.js";

declare global {
  /** Node's: ends Chrome's GPU process, and resolves when there is none any more. */
  var endGPU: () => Promise<void>;
  var gpuCrash: typeof actions;
}

/** How a piece of work ended. */
export interface Ending {
  /** The picture's bytes, where one was drawn. */
  picture?: number[];
  /** Name and message of what it rejected with. */
  error?: string;
  /** From when the GPU was to end, or else from the start of the work. */
  milliseconds: number;
}

/** When the GPU ends: as a device is asked for, with the first kernel that is compiled, or as weights are fetched. */
export type LoadMoment = "device" | "compile" | "weights";
/** When the GPU ends: as the call begins, after its second step, as its picture is decoded, or before the call. */
export type DrawMoment = "start" | "step" | "decode" | "idle";

const STEPS = 4;
let pipeline: StableDiffusionPipeline | undefined;
let since = 0;
/**
 * What comes later waits for it, so that no work can be quicker than the end. The page itself hears of its loss when it
 * will: nothing here waits for that.
 */
let end: Promise<void> | undefined;

function crash(): Promise<void> {
  since = performance.now();
  return (end = globalThis.endGPU());
}

async function endingOf(work: () => Promise<number[] | void>): Promise<Ending> {
  since = performance.now();
  end = undefined;
  const ending: Partial<Ending> = {};
  try {
    ending.picture = (await work()) ?? undefined;
  } catch (error) {
    ending.error = String(error);
  }
  return { ...ending, milliseconds: performance.now() - since };
}

/** Replaces a method until it is called once. */
function next(object: object, name: string, replaced: (call: () => unknown) => unknown): void {
  const methods = object as Record<string, (...args: unknown[]) => unknown>;
  const method = methods[name];
  methods[name] = function (this: unknown, ...args: unknown[]): unknown {
    methods[name] = method;
    return replaced(() => method.apply(this, args));
  };
}

const actions = {
  load: (moment?: LoadMoment): Promise<Ending> =>
    endingOf(async () => {
      if (moment === "device") next(GPUAdapter.prototype, "requestDevice", (request) => crash().then(request));
      if (moment === "compile")
        next(GPUDevice.prototype, "createComputePipelineAsync", (compile) => {
          void crash();
          return compile();
        });
      const real = globalThis.fetch;
      globalThis.fetch = async (...args) => {
        if (String(args[0]).includes("unet/diffusion_pytorch_model")) {
          if (moment === "weights" && !end) void crash();
          await end;
        }
        return real(...args);
      };
      try {
        const source = new URL("/test/fixtures/models/repos/sd15/", location.href);
        pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(source);
      } finally {
        globalThis.fetch = real;
      }
    }),

  draw: (moment?: DrawMoment): Promise<Ending> =>
    endingOf(async () => {
      if (moment === "idle") await crash();
      if (moment === "start") void crash();
      if (moment === "decode")
        next(pipeline!.vae, "decode", (decode) => {
          next(GPUBuffer.prototype, "mapAsync", (map) => crash().then(map));
          return decode();
        });
      const { images } = await pipeline!("a photograph of an astronaut", {
        numInferenceSteps: STEPS,
        generator: new Generator("cpu").manualSeed(8),
        callbackOnStepEnd: async (_, step) => void (await (moment === "step" && step === 1 ? crash() : end)),
      });
      return Array.from(images[0].data);
    }),

  recover: (): Promise<Ending> => endingOf(async () => void (await pipeline!.recover())),
};
globalThis.gpuCrash = actions;
