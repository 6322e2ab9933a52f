/** The options of `step`: what they are, and their check, which is the same for all schedulers. */
import { isPlain } from "../arguments/config_object.js";
import { shown } from "../arguments/shown.js";
import { hint } from "../arguments/options.js";
import { givenOptions } from "../arguments/spelling.js";
import { noTensor } from "../tensor/no_tensor.js";
import { Tensor } from "../tensor/tensor.js";
import { checkGeneratorTypes, type NoiseSource } from "./noise.js";

/** Options of `step`; a scheduler ignores those that are other schedulers' own, so that pipelines need not know it. */
export interface StepOptions {
  /** Weight of the noise in DDIM (0: deterministic, 1: DDPM) and TCD. */
  eta?: number | null;
  /** Derive the direction from the clipped x0 (DDIM). */
  useClippedModelOutput?: boolean | null;
  /** Source of the step's noise; a list has one generator per sample. */
  generator?: NoiseSource | readonly NoiseSource[] | null;
  /** Noise to use instead of drawing it. */
  varianceNoise?: Tensor | null;
  /** Karras et al. 2022, algorithm 2 (Euler, EDMEuler, FlowMatchHeun). */
  sChurn?: number | null;
  sTmin?: number | null;
  sTmax?: number | null;
  sNoise?: number | null;
  /** Number of derivatives to use (LMS). */
  order?: number | null;
  /** A guess of x0 to use instead of the model's (EDMEuler). */
  predOriginalSample?: Tensor | null;
  /** The timestep that follows, where it is not the next of the schedule (UnCLIP). */
  prevTimestep?: number | null;
  /** The timestep of each token of samples [batch, tokens, channels], as [batch][tokens] (FlowMatchEuler). */
  perTokenTimesteps?: readonly (readonly number[])[] | null;
  /** The picture to keep, in [-1, 1], and where: 1 in a mask [1 or batch, 1, height, width], 0 where it is drawn anew (RePaint). */
  originalImage?: Tensor | null;
  mask?: Tensor | null;
  /** x0 of the step before, and its timestep (CogVideoXDPM). */
  oldPredOriginalSample?: Tensor | null;
  timestepBack?: number | null;
}

/** Step options that were given: without those that are null. */
export type GivenStepOptions = { [K in keyof StepOptions]?: NonNullable<StepOptions[K]> };

/** What the value of an option must be, and whether one is that. */
type Kind = readonly [wanted: string, fits: (value: unknown) => boolean];

const NUMBER: Kind = ["a number", (value) => typeof value === "number" && !Number.isNaN(value)];
const TENSOR: Kind = ["a Tensor", (value) => value instanceof Tensor];
const isListOfLists = (value: unknown): boolean => Array.isArray(value) && value.every(Array.isArray);

const KINDS: Record<Exclude<keyof StepOptions, "generator">, Kind> = {
  eta: NUMBER,
  useClippedModelOutput: ["true or false", (value) => typeof value === "boolean"],
  varianceNoise: TENSOR,
  sChurn: NUMBER,
  sTmin: NUMBER,
  sTmax: NUMBER,
  sNoise: NUMBER,
  order: NUMBER,
  predOriginalSample: TENSOR,
  prevTimestep: NUMBER,
  originalImage: TENSOR,
  mask: TENSOR,
  oldPredOriginalSample: TENSOR,
  timestepBack: NUMBER,
  perTokenTimesteps: ["lists of numbers, one per sample", isListOfLists],
};
const NAMES: readonly string[] = [...Object.keys(KINDS), "generator"];

/**
 * The options of a step under their own names: Python's spelling is taken, too, and null is as nothing.
 * @param method the step's name, for messages
 * @throws TypeError for anything but an object of options, for a name that no scheduler's step has, since what is misspelt
 *   would do nothing without a word, and for a value of the wrong type
 */
export function checkStepOptions(
  className: string,
  options: StepOptions | null | undefined,
  method = "step",
): GivenStepOptions {
  const where = `${className}.${method}`;
  if (options === null || options === undefined) return {};
  if (!isPlain(options))
    throw new TypeError(`${where}: options must be an object such as { generator }, got ${shown(options)}`);
  const entries = Object.entries(givenOptions(options, NAMES, where));
  for (const [name, value] of entries) {
    if (!NAMES.includes(name)) throw new TypeError(`${where}: has no option ${name} ${hint(NAMES)}`);
    if (value === undefined) continue;
    if (name === "generator") checkGeneratorTypes(value, where);
    else checkKind(`${where}: ${name}`, KINDS[name as keyof typeof KINDS], value);
  }
  return Object.fromEntries(entries);
}

function checkKind(what: string, kind: Kind, value: unknown): void {
  const [wanted, fits] = kind;
  if (!fits(value))
    throw new TypeError(`${what} must be ${wanted}, got ${kind === TENSOR ? noTensor(value) : shown(value)}`);
}
