/**
 * Dawn's Node binding asks for events by `setImmediate`, over and over, as long as anything is under way: that keeps a core busy,
 * which the event loop and, on CPU adapters, the work itself would use (of two cores it took up to half of the speed). It looks
 * `setImmediate` up at each call; so while its own calls run, and only then, it finds one here that comes back later.
 */

/** Everything of Dawn's that answers later, by the name of its class. */
const ASYNC: Readonly<Record<string, readonly string[]>> = {
  GPU: ["requestAdapter"],
  GPUAdapter: ["requestDevice"],
  GPUBuffer: ["mapAsync"],
  GPUDevice: ["createComputePipelineAsync", "createRenderPipelineAsync", "popErrorScope"],
  GPUQueue: ["onSubmittedWorkDone"],
  GPUShaderModule: ["getCompilationInfo"],
};

/** Milliseconds for which Dawn asks without a pause: short waits stay short. */
const EAGER = 0.5;
/** Milliseconds between questions afterwards: the least that a timer can. */
const PAUSE = 1;

type Callback = (...args: unknown[]) => void;
type Call = (this: unknown, ...args: unknown[]) => unknown;

const PATCHED = Symbol.for("webgpu-diffusers.dawnEvents");

/** Makes Dawn's classes ask for events at a walk. */
export function paceEvents(classes: object): void {
  for (const [name, methods] of Object.entries(ASYNC)) {
    const { prototype } = ((classes as Record<string, unknown>)[name] ?? {}) as {
      prototype?: Record<PropertyKey, unknown>;
    };
    if (!prototype || prototype[PATCHED]) continue;
    prototype[PATCHED] = true;
    for (const method of methods) {
      const original = prototype[method] as Call | undefined;
      if (original) prototype[method] = paced(original);
    }
  }
}

const paced = (original: Call): Call =>
  function (...args) {
    return lending(performance.now(), () => original.apply(this, args));
  };

/** Calls Dawn with a `setImmediate` that pauses once the wait has lasted since `start`. */
function lending<T>(start: number, call: () => T): T {
  const own = globalThis.setImmediate;
  const later = (callback: Callback, ...args: unknown[]): void => {
    const ask = (): void => lending(start, () => callback(...args));
    if (performance.now() - start < EAGER) own(ask);
    else setTimeout(ask, PAUSE);
  };
  globalThis.setImmediate = later as unknown as typeof setImmediate;
  try {
    return call();
  } finally {
    globalThis.setImmediate = own;
  }
}
