/** LoRA weights for the models of a pipeline: diffusers' StableDiffusionLoraLoaderMixin (loaders/lora_base.py). */
import { givenOptions, refuseRespelt } from "../../arguments/spelling.js";
import { HUB_OPTION_NAMES, type HubOptions, type RepositorySource } from "../../loader/repository.js";
import {
  activated,
  fused,
  unfused,
  unloaded,
  withAdapter,
  withoutAdapters,
  type Adapter,
  type Adapters,
} from "../../nn/lora/adapters.js";
import { openLoraFile } from "../../nn/lora/file.js";
import { PretrainedModel } from "../../nn/weights/pretrained.js";
import type { CallOptions } from "../call/check_inputs.js";
import { inTurn } from "../call/in_turn.js";
import { StableDiffusionMixin } from "../stable_diffusion/stable_diffusion_mixin.js";
import { adapterWeights, checkComponents, namesOf, type AdapterWeights, type LoraComponent } from "./lora_arguments.js";
import { adaptersFor } from "./lora_match.js";

/** null is as nothing, as Python's None. */
export interface LoraOptions extends HubOptions {
  /** Name of the file; by default pytorch_lora_weights.safetensors. */
  weightName?: string | null;
  /** Folder of the file inside the repository. */
  subfolder?: string | null;
  /** What the LoRA is called here; by default default_0, default_1, … */
  adapterName?: string | null;
}

/** null is as nothing, as Python's None. */
export interface FuseLoraOptions {
  /** Of "unet", "text_encoder" and, for XL, "text_encoder_2"; by default all. */
  components?: readonly LoraComponent[] | null;
  /** Times the LoRAs' own weights. Default 1. */
  loraScale?: number | null;
  /** By default all active ones. */
  adapterNames?: readonly string[] | null;
}

const LORA_OPTION_NAMES = ["weightName", "subfolder", "adapterName", ...HUB_OPTION_NAMES];
const FUSE_OPTION_NAMES = ["components", "loraScale", "adapterNames"];
const COMPONENTS: readonly LoraComponent[] = ["unet", "text_encoder", "text_encoder_2"];

/**
 * What LoRAs add is part of the weights here, fused or not: a step takes no longer with them. When other ones count, or count otherwise,
 * the weights that they are for are read again from the model's files.
 *
 * Models that pipelines share have the same LoRAs; none of them may draw while they change.
 */
export abstract class LoraLoader extends StableDiffusionMixin {
  /**
   * Loads LoRA weights in the spelling of peft, diffusers or kohya's trainer. The one loaded last is active, alone; see setAdapters().
   * @param source a repository, or the path or address of a .safetensors file
   * @throws Error naming the file and what in it does not fit these models; they are as before then
   * @example
   * await pipeline.loadLoraWeights("latent-consistency/lcm-lora-sdv1-5", { adapterName: "lcm" });
   */
  override async loadLoraWeights(source: RepositorySource, given?: LoraOptions | null): Promise<void> {
    const caller = `${this.className}.loadLoraWeights`;
    const { adapterName, ...options } = givenOptions(given, LORA_OPTION_NAMES, caller);
    refuseRespelt(caller, options, LORA_OPTION_NAMES);
    const file = await openLoraFile(caller, source, options);
    await this.#change((models) => {
      const name =
        adapterName ?? `default_${Math.max(0, ...[...models.values()].map(({ loraAdapters: { all } }) => all.size))}`;
      for (const [component, { loraAdapters: adapters }] of models)
        if (adapters.all.has(name))
          throw new Error(
            `${caller}: the adapter name ${name} is already in use in \`${component}\`; choose another adapterName`,
          );
      const found: ReadonlyMap<string, Adapter> = adaptersFor(caller, file, models);
      return (adapters, component) => {
        const adapter = found.get(component);
        return adapter ? withAdapter(adapters, name, adapter) : adapters;
      };
    }, options.signal);
  }

  /** Forgets all LoRAs. Fused ones stay in the weights for good. */
  async unloadLoraWeights(): Promise<void> {
    await this.#change(() => unloaded);
  }

  /**
   * Has these LoRAs count, and no others.
   * @param weights by default 1: one number for all of them, or a list of one for each, which may be by component: `{ unet: 0.5 }`
   * @throws Error, TypeError for names that are not loaded and for wrong weights
   */
  async setAdapters(adapterNames: string | readonly string[], weights?: AdapterWeights | null): Promise<void> {
    const caller = `${this.className}.setAdapters`;
    const names = namesOf(caller, adapterNames);
    await this.#change((models) => {
      const present = new Set([...models.values()].flatMap(({ loraAdapters: adapters }) => [...adapters.all.keys()]));
      const missing = names.filter((name) => !present.has(name));
      if (missing.length > 0)
        throw new Error(
          `${caller}: ${missing.join(", ")} not among the loaded adapters (${[...present].join(", ") || "none"})`,
        );
      const by = adapterWeights(caller, names, weights, [...models.keys()]);
      return (adapters, component) => activated(adapters, by(component));
    });
  }

  /** Forgets some LoRAs, fused ones too. Names that there are not do nothing. */
  async deleteAdapters(adapterNames: string | readonly string[]): Promise<void> {
    const names = namesOf(`${this.className}.deleteAdapters`, adapterNames);
    await this.#change(() => (adapters) => withoutAdapters(adapters, names));
  }

  /** Draws without LoRAs, until enableLora(). */
  async disableLora(): Promise<void> {
    await this.#change(() => (adapters) => ({ ...adapters, enabled: false }));
  }

  async enableLora(): Promise<void> {
    await this.#change(() => (adapters) => ({ ...adapters, enabled: true }));
  }

  /** Fuses LoRAs: they count as they do now, times loraScale, whatever setAdapters() and a call's scale say, until unfuseLora(). */
  async fuseLora(given?: FuseLoraOptions | null): Promise<void> {
    const caller = `${this.className}.fuseLora`;
    const options = givenOptions(given, FUSE_OPTION_NAMES, caller);
    refuseRespelt(caller, options, FUSE_OPTION_NAMES);
    const { components = this.#loraComponents, loraScale = 1, adapterNames } = options;
    checkComponents(caller, components, this.#loraComponents);
    if (!Number.isFinite(loraScale))
      throw new RangeError(`${caller}: loraScale must be a finite number, got ${loraScale}`);
    await this.#change(
      () => (adapters, component) =>
        components.includes(component) ? fused(adapters, loraScale, adapterNames) : adapters,
    );
  }

  async unfuseLora(given?: Pick<FuseLoraOptions, "components"> | null): Promise<void> {
    const caller = `${this.className}.unfuseLora`;
    const { components = this.#loraComponents } = givenOptions(given, ["components"], caller);
    checkComponents(caller, components, this.#loraComponents);
    await this.#change(() => (adapters, component) => (components.includes(component) ? unfused(adapters) : adapters));
  }

  /** Names of the LoRAs that count in any of the models; Python tells those of the last model that has any. */
  getActiveAdapters(): string[] {
    return [...new Set(this.#states.flatMap(({ active }) => [...active.keys()]))];
  }

  /** Names of all that are loaded, by the models that they are for. */
  getListAdapters(): Partial<Record<LoraComponent, string[]>> {
    const all = [...this.#loraModels].map(
      ([name, { loraAdapters: adapters }]) => [name, [...adapters.all.keys()]] as [LoraComponent, string[]],
    );
    return Object.fromEntries(all.filter(([, names]) => names.length > 0));
  }

  /** Names of the fused ones. */
  get fusedLoras(): Set<string> {
    return new Set(this.#states.flatMap(({ fused, kept }) => [...kept.map(({ name }) => name), ...fused.keys()]));
  }

  get numFusedLoras(): number {
    return this.fusedLoras.size;
  }

  /** Runs a call under the `scale` of its crossAttentionKwargs. */
  protected async withLoraScale<T>({ crossAttentionKwargs, signal }: CallOptions, work: () => Promise<T>): Promise<T> {
    const scale = crossAttentionKwargs?.scale ?? 1;
    const scaled = async (scale: number, signal?: AbortSignal): Promise<void> => {
      for (const model of this.#loraModels.values()) await model.adapt(model.loraAdapters, { scale, signal });
    };
    let result: T;
    try {
      await scaled(scale, signal);
      result = await work();
    } catch (error) {
      await scaled(1).catch(() => undefined); // a lost device has its own words for it in the next call
      throw error;
    }
    await scaled(1);
    return result;
  }

  get #loraComponents(): LoraComponent[] {
    const names = (this.constructor as typeof LoraLoader).componentNames;
    return COMPONENTS.filter((name) => names.includes(name));
  }

  get #loraModels(): Map<LoraComponent, PretrainedModel<object>> {
    const models = this.#loraComponents.map((name) => [name, this.components[name]] as const);
    return new Map(
      models.filter((each): each is [LoraComponent, PretrainedModel<object>] => each[1] instanceof PretrainedModel),
    );
  }

  get #states(): Adapters[] {
    return [...this.#loraModels.values()].map(({ loraAdapters }) => loraAdapters);
  }

  /**
   * Changes the LoRAs of all models, when the calls under way have ended: of all or of none.
   * @param begin throws before anything changes; says what each model has then
   */
  async #change(
    begin: (
      models: ReadonlyMap<LoraComponent, PretrainedModel<object>>,
    ) => (of: Adapters, component: LoraComponent) => Adapters,
    signal?: AbortSignal,
  ): Promise<void> {
    await inTurn([this], signal, async () => {
      this.expectModels();
      const models = this.#loraModels;
      const next = begin(models);
      const done: [PretrainedModel<object>, Adapters][] = [];
      try {
        for (const [component, model] of models) {
          const before = model.loraAdapters;
          await model.adapt(next(before, component), { signal });
          done.push([model, before]);
        }
      } catch (error) {
        // Where that fails, too, the model has no weights any more, and says so.
        for (const [model, before] of done) await model.adapt(before).catch(() => undefined);
        throw error;
      }
    });
  }
}
