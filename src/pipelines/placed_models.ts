/** The models of a pipeline, and where their weights are: diffusers' enable_model_cpu_offload. */
import { givenOptions } from "../arguments/spelling.js";
import { PretrainedModel } from "../nn/weights/pretrained.js";
import { wantedPlace } from "../nn/weights/wanted_place.js";
import { ensureDevice, type Device } from "../tensor/device.js";
import type { DType } from "../tensor/dtype.js";
import { inTurn } from "./call/in_turn.js";
import type { Components, PipelineOptions } from "./loading/load_pipeline.js";
import { NotYet } from "./loading/not_yet.js";

export abstract class PlacedModels extends NotYet {
  #offloads = false;

  abstract get components(): Components;

  get #models(): [name: string, model: PretrainedModel<object>][] {
    return Object.entries(this.components).filter(
      (entry): entry is [string, PretrainedModel<object>] => entry[1] instanceof PretrainedModel,
    );
  }

  /** The dtype of the first model, as in Python: components may differ. */
  get dtype(): DType {
    return this.#models[0]?.[1].dtype ?? "float32";
  }

  /** The device of the models, also of those whose weights are on the CPU. */
  get device(): Device {
    for (const [, { device }] of this.#models) if (device) return device;
    throw new Error(`${this.className}: no model is loaded`);
  }

  /** @throws DeviceLostError; Error naming a model that dispose() has freed, before or during a call */
  protected expectModels(): void {
    const { className } = this;
    for (const [name, { isDisposed, device }] of this.#models) {
      // A recovery that was cut off leaves some models on the lost device, without weights: its error says what to do.
      if (device?.queue.isLost) throw device.queue.isLost;
      if (isDisposed) throw new Error(`${className}: the component \`${name}\` was used after dispose()`);
    }
  }

  /**
   * From now on the weights are in the CPU's memory, and each model's are on the GPU while a call needs them: less GPU memory, by all
   * models but the largest, for the time that moving them takes in every call. To load like that, so that they never are on the GPU
   * together, use `fromPretrained(source, { enableModelCpuOffload: true })`.
   * @throws what moving weights throws; Error while a call of another pipeline needs a shared model
   */
  async enableModelCpuOffload(): Promise<void> {
    await this.to("cpu");
    this.#offloads = true;
  }

  /** Ends enableModelCpuOffload(); weights stay where they are, `to("webgpu")` brings them back. */
  removeAllHooks(): void {
    this.#offloads = false;
  }

  /** Under enableModelCpuOffload(): moves all weights to the CPU but those that a call needs. Calls do so at their end. */
  async maybeFreeModelHooks(): Promise<void> {
    if (this.#offloads) await this.#rest([]);
  }

  /**
   * Moves the weights of all models: "cpu" frees their GPU memory, "webgpu" (or "cuda", as Python code has it) brings them back to their
   * device. What a call needs it brings back itself.
   * @param more a dtype, or a device behind one
   * @throws Error for another device or dtype: load the pipeline with { device, dtype } instead; for "cpu" while a call of another
   *   pipeline needs a shared model
   */
  async to(device: Device | string, ...more: (Device | string | null | undefined)[]): Promise<this> {
    const models = this.#models.map(([, model]) => model);
    const place = {
      device: models.find((model) => model.device)?.device ?? null,
      dtypes: models.map((each) => each.dtype),
    };
    const wanted = wantedPlace([device, ...more], "the pipeline", place);
    if (wanted === "gpu" && this.#offloads)
      console.warn(
        `${this.className}: \`enableModelCpuOffload\` was called, but the pipeline is now moved to the GPU, where it takes the memory` +
          ' that was to be saved. Calls bring there what they need: leave the move out, or call `to("cpu")`.',
      );
    if (wanted) await inTurn([this], undefined, () => this.#move(wanted));
    return this;
  }

  /** Offloads if another pipeline does, whose models it shares. */
  placeAs(other: PlacedModels): void {
    this.#offloads = other.#offloads;
  }

  async #move(place: "cpu" | "gpu"): Promise<void> {
    for (const [, model] of this.#models) await model.to(place === "gpu" ? "webgpu" : place);
  }

  /** Moves the weights of all models to the CPU but those of `needed`, and those that a call needs. */
  async #rest(needed: readonly PretrainedModel<object>[]): Promise<void> {
    for (const [, model] of this.#models) if (!needed.includes(model)) await model.residence.toCpu();
  }

  /**
   * Runs a part of a call with the weights of some components on the GPU. Under enableModelCpuOffload() those of all others make room.
   * @param names of components; what is missing is passed over
   */
  protected async withModels<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    const needed = this.#models.flatMap(([name, model]) => (names.includes(name) ? [model] : []));
    if (this.#offloads) await this.#rest(needed);
    return needed.reduce<() => Promise<T>>((rest, model) => () => model.residence.during(rest), work)();
  }

  /** Runs a whole call, and frees what it has brought to the GPU. */
  protected async thenFree<T>(work: () => Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work();
    } catch (error) {
      await this.maybeFreeModelHooks().catch(() => undefined); // what went wrong first is told
      throw error;
    }
    await this.maybeFreeModelHooks();
    return result;
  }

  /**
   * Loads the models again whose device was lost (a driver's reset, a crash of the browser's GPU process), when the calls
   * under way have ended. The same call with the same seed then draws the same picture.
   * @param options device: where to, by default a new one
   * @example
   * catch (error) { if (error instanceof DeviceLostError) await pipeline.recover(); else throw error; }
   */
  async recover(options?: Pick<PipelineOptions, "device" | "signal"> | null): Promise<this> {
    const { device, signal } = givenOptions(options, ["device", "signal"], `${this.className}.recover`);
    await inTurn([this], signal, async () => {
      const target = await ensureDevice(device);
      for (const [, model] of this.#models) {
        if (!model.device?.isLost) continue;
        await model.recover({ device: target, signal });
        if (this.#offloads) await model.residence.toCpu();
      }
    });
    return this;
  }

  /** Frees the weights of all models. */
  dispose(): void {
    for (const [, model] of this.#models) model.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
