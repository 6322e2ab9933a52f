/** The errors of the runtime. `code` is stable; the message says what happened and what to do. */
// Names are written out, as those of classes do not survive minifying.
export class WebGPUDiffusersError extends Error {
  override name = "WebGPUDiffusersError";

  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** No WebGPU adapter could be found. */
export class NoAdapterError extends WebGPUDiffusersError {
  override name = "NoAdapterError";

  constructor(message: string, options?: ErrorOptions) {
    super("WD_NO_ADAPTER", message, options);
  }
}

/** The GPU device was lost (driver reset, GPU process crash) or destroyed; every pending and later call rejects with this. */
export class DeviceLostError extends WebGPUDiffusersError {
  override name = "DeviceLostError";

  constructor(reason: string, message: string) {
    super(
      "WD_DEVICE_LOST",
      `The GPU device was lost (${reason}${message ? `: ${message}` : ""}). \`await pipeline.recover()\` loads the models again; other tensors are gone: make a new device with requestDevice().`,
    );
  }
}

/** What helps where something is too large for an adapter. */
export const SMALLER = `Use dtype "float16", a smaller size, fewer pictures at once, or the VAE's tiles (enableVaeTiling()).`;

/** A buffer could not be allocated. */
export class OutOfMemoryError extends WebGPUDiffusersError {
  override name = "OutOfMemoryError";

  constructor(bytes: number, held: number, label: string) {
    super(
      "WD_OOM",
      `The GPU has no room for ${bytes} bytes (${label}); this library holds ${held} bytes. ` +
        `Use dtype "float16", a smaller picture, or dispose() of models no longer needed.`,
    );
  }
}

/** WebGPU rejected a command or a shader: a bug in this library or in the driver. */
export class GPUValidationError extends WebGPUDiffusersError {
  override name = "GPUValidationError";

  constructor(message: string) {
    super("WD_VALIDATION", message);
  }
}

/** A model or a scheduler gave numbers that are infinite or NaN: no picture can be made of them. */
export class NumericalError extends WebGPUDiffusersError {
  override name = "NumericalError";
  /** The part of the pipeline that gave them first. */
  readonly module: string;
  /** The step of the denoising loop, from 0 on; undefined before and after it. */
  readonly step: number | undefined;

  constructor({ module, step }: { module: string; step?: number }) {
    super(
      "WD_NUMERICAL",
      `${module}${step === undefined ? "" : `, step ${step}`}: numbers are infinite or NaN. ` +
        `Use dtype "float32", a smaller guidanceScale, or check latents, embeddings and weights that you give.`,
    );
    this.module = module;
    this.step = step;
  }
}
