/** ControlNets in a step of a denoising loop, before the UNet. */
import { slice } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { AddedCondKwargs } from "../unet/added_embedding.js";
import type { AdditionalResiduals, Term } from "../unet/unet_2d_trunk.js";
import type { ControlNetTrunk, Reading } from "./controlnet_trunk.js";

/** A ControlNet, and what it is given. */
export interface Control {
  net: ControlNetTrunk;
  reading: Reading;
  /** Multiplies what the net gives. */
  scale: number;
}

export interface StepControls {
  /** Those that have a say in this step; what the others would give is multiplied by zero. */
  nets: readonly Control[];
  guessMode: boolean;
  /** Whether they see the second half of the batch alone: the prompts, without what guidance leads away from. */
  secondHalf: boolean;
}

/**
 * @param given as the UNet takes them
 * @returns shapes of what a net sees of them: of a UNet for inpainting, whose input has a mask besides, the latents
 */
export function shapesSeen(
  { net }: Control,
  { secondHalf }: StepControls,
  given: readonly [sample: Tensor, encoderHiddenStates: Tensor],
): number[][] {
  const [sample, prompt] = given.map(({ shape: [rows, ...rest] }) => [secondHalf ? rows / 2 : rows, ...rest]);
  const [rows, channels, ...sides] = sample;
  return [[rows, Math.min(channels, net.config.in_channels), ...sides], prompt];
}

/**
 * What a net takes of the timestep and of a step's other conditions, for `residualsOf`: of models that know of such.
 * @param timesteps one per image, as the UNet takes them
 */
export function embedSeen(
  { net, reading }: Control,
  { secondHalf }: StepControls,
  [timesteps, encoderHiddenStates, added]: readonly [readonly number[], Tensor, AddedCondKwargs | undefined],
): Tensor[] {
  const seen = (x: Tensor): Tensor => (secondHalf ? lastHalf(x) : x);
  const prompts = seen(encoderHiddenStates);
  const addedCondKwargs =
    added && net.add_embedding
      ? (Object.fromEntries(
          Object.entries(added).map(([name, x]) => [name, seen(x as Tensor)] as const),
        ) as AddedCondKwargs)
      : undefined;
  const [rows] = prompts.shape;
  return net.embedConditions(timesteps.slice(0, rows), prompts, { addedCondKwargs, ...net.told(reading, rows) });
}

/**
 * What one of them adds to a UNet.
 * @param sample, encoderHiddenStates as the UNet takes them
 * @param time of embedSchedule() or embedSeen()
 * @param features of net.features()
 */
export function residualsOf(
  { net, scale }: Control,
  { guessMode, secondHalf }: StepControls,
  [input, encoderHiddenStates, features]: readonly [Tensor, Tensor, Tensor],
  time: readonly Tensor[],
): AdditionalResiduals {
  const options = { conditioningScale: scale, guessMode };
  const { in_channels: channels } = net.config;
  const sample = input.shape[1] > channels ? slice(input, 1, 0, channels) : input;
  if (!secondHalf) return net.predict(sample, time, encoderHiddenStates, features, options);
  // Kept with the prompt, as the keys and values that are made of it are kept with this.
  const [prompts] = encoderHiddenStates.memo(residualsOf, () => [lastHalf(encoderHiddenStates)]);
  const { down, mid } = net.predict(lastHalf(sample), time, prompts, features, options);
  const behindNothing = ({ factor, x }: Term): Term => ({ factor, x: concat(linearCombination([[0, x]]), x, 0) });
  return { down: down.map(behindNothing), mid: behindNothing(mid) };
}

const lastHalf = (x: Tensor): Tensor => slice(x, 0, x.shape[0] / 2, x.shape[0] / 2);
