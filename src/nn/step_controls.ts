/** ControlNets in a step of a denoising loop, before the UNet. */
import { slice } from "../tensor/ops/copy.js";
import { linearCombination } from "../tensor/ops/elementwise.js";
import { concat } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ControlNetModel } from "./controlnet.js";
import type { AdditionalResiduals, Term } from "./unet_2d_trunk.js";

/** A ControlNet, and what it is given. */
export interface Control {
  net: ControlNetModel;
  /** [rows, conditioning_channels, height, width] in [0, 1]. */
  image: Tensor;
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
 * What one of them adds to a UNet.
 * @param sample, encoderHiddenStates as the UNet takes them
 * @param time of embedSchedule()
 * @param features of embedPicture()
 */
export function residualsOf(
  { net, scale }: Control,
  { guessMode, secondHalf }: StepControls,
  [sample, encoderHiddenStates, features]: readonly [Tensor, Tensor, Tensor],
  time: readonly Tensor[],
): AdditionalResiduals {
  const options = { conditioningScale: scale, guessMode };
  if (!secondHalf) return net.predict(sample, time, encoderHiddenStates, features, options);
  // Kept with the prompt, as the keys and values that are made of it are kept with this.
  const [prompts] = encoderHiddenStates.memo(residualsOf, () => [lastHalf(encoderHiddenStates)]);
  const { down, mid } = net.predict(lastHalf(sample), time, prompts, features, options);
  const behindNothing = ({ factor, x }: Term): Term => ({ factor, x: concat(linearCombination([[0, x]]), x, 0) });
  return { down: down.map(behindNothing), mid: behindNothing(mid) };
}

const lastHalf = (x: Tensor): Tensor => slice(x, 0, x.shape[0] / 2, x.shape[0] / 2);
