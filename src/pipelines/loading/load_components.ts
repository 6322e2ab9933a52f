/** Loading the components of a pipeline, all at once. */
import { shown } from "../../arguments/shown.js";
import { requireAll } from "../../loader/missing_files.js";
import type { Repository } from "../../loader/repository.js";
import { Turns } from "../../loader/turns.js";
import { checkDType, type ModelDType } from "../../nn/dtype.js";
import type { LoadHooks } from "../../nn/weights/load_model.js";
import { PretrainedModel } from "../../nn/weights/pretrained.js";
import type { Device } from "../../tensor/device.js";
import type { ComponentLoader, ModelOptions } from "./component_loaders.js";
import { warmUp } from "./first_pass.js";
import { VariantChoice } from "./variant_choice.js";

/** Storage of all models, or by component, e.g. { unet: "float16", default: "float32" }. */
export type PipelineDType = ModelDType | Readonly<Record<string, ModelDType | undefined>>;

export interface LoadComponentsOptions extends Omit<ModelOptions, "dtype" | "signal"> {
  dtype?: PipelineDType;
  device: Device;
  /** Aborted by the first component that fails, so that the others stop. */
  controller: AbortController;
  /** Models get no weights but the memory for them, and compile nothing; see blankDevice(). */
  blank?: boolean;
  /** One after the other, each to the CPU's memory in the end. */
  offload?: boolean;
}

/** What the components that are stopped fail with. */
const STOPPED = new Error("another component could not be loaded");

/**
 * Loads components side by side: they download a few at a time, go to the GPU as they come, and while weights are on their
 * way the kernels of the first pass compile.
 *
 * @throws the first failure; all others are stopped, and nothing stays allocated
 */
export async function loadComponents(
  pipeline: string,
  repository: Repository,
  loaders: readonly (readonly [name: string, loader: ComponentLoader])[],
  { dtype, controller, blank = false, offload = false, ...options }: LoadComponentsOptions,
): Promise<Record<string, unknown>> {
  const { signal } = controller;
  const dtypes = dtypesOf(pipeline, dtype, loaders);
  const models = loaders.filter(([, { isModel }]) => isModel).map(([name]) => name);
  const { variant } = options;
  const choice = variant === undefined || blank ? null : new VariantChoice(variant, models, signal);
  const upload = offload ? throughGpu(signal) : undefined;
  const hooksOf = (name: string) => ({
    upload,
    orDefault: choice ? (found: boolean) => choice.fallBack(name, found) : undefined,
    ...(blank ? { blank } : { onBuilt: warmUp }),
  });
  if (repository.isLocal && !blank)
    await requireAll(
      loaders.map(
        ([name, loader]) =>
          () =>
            loader.require(repository, name, { ...options, signal }, hooksOf(name)),
      ),
    );
  let first: { readonly error: unknown } | undefined;
  const results = await Promise.allSettled(
    loaders.map(async ([name, loader]) => {
      try {
        return await loader.load(repository, name, { ...options, signal, dtype: dtypes.get(name) }, hooksOf(name));
      } catch (error) {
        // What fails after it may only have been stopped, and says so in words of the browser's.
        first ??= { error };
        controller.abort(STOPPED);
        throw error;
      }
    }),
  );
  const loaded = Object.fromEntries(
    results.flatMap((result, i) => (result.status === "fulfilled" ? [[loaders[i][0], result.value]] : [])),
  );
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  if (failures.length === 0) {
    choice?.warn();
    return loaded;
  }
  for (const component of Object.values(loaded)) if (component instanceof PretrainedModel) component.dispose();
  throw first?.error;
}

/** Uploads one model at a time, and moves it to the CPU's memory at once. */
function throughGpu(signal: AbortSignal): LoadHooks["upload"] {
  const turns = new Turns(1);
  return (model, load) =>
    turns.run(async () => {
      await load();
      try {
        await model.residence.toCpu();
      } catch (error) {
        model.dispose();
        throw error;
      }
    }, signal);
}

/** The dtype of each model. Wrong ones are refused before anything is loaded. */
function dtypesOf(
  pipeline: string,
  dtype: PipelineDType | undefined,
  loaders: readonly (readonly [name: string, loader: ComponentLoader])[],
): Map<string, ModelDType> {
  if (typeof dtype !== "object" || dtype === null) {
    const all = checkDType(pipeline, "dtype", dtype);
    return new Map(loaders.map(([name]) => [name, all]));
  }
  for (const [name, value] of Object.entries(dtype)) checkDType(pipeline, `dtype.${name}`, value);
  const names = loaders.filter(([, { isModel }]) => isModel).map(([name]) => name);
  const unknown = Object.keys(dtype).filter((name) => name !== "default" && !names.includes(name));
  if (unknown.length > 0)
    console.warn(
      `${pipeline}: dtype names ${shown(unknown)}, which are no models to load (${names.join(", ")}), and is ignored for them.`,
    );
  return new Map(names.map((name) => [name, dtype[name] ?? dtype.default ?? "float32"]));
}
