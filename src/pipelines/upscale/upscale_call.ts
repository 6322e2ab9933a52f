/** What calls of both upscalers have in common. */
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { Tensor } from "../../tensor/tensor.js";
import { promptCount, type CallOptions } from "../call/check_inputs.js";
import type { ImageInput } from "../images/image_processor.js";
import { listOf } from "../images/pixels.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";

/** How a call begins. */
export interface UpscaleStart extends Pick<CallOptions, "generator" | "latents"> {
  batch: number;
  /** In which pictures are encoded and noise is drawn. */
  dtype: DType;
  scheduler: Scheduler;
  /** Whether the UNet takes each picture twice. */
  guided: boolean;
}

/**
 * @param image checked by checkImages()
 * @throws RangeError unless there is a picture for each prompt
 */
export function expectPicturePerPrompt(
  image: ImageInput | readonly ImageInput[],
  prompt: Prompt,
  options: CallOptions,
): void {
  const prompts = promptCount(prompt, options);
  const count = (listOf(image) as readonly ImageInput[]).reduce(
    (sum, each) => sum + (each instanceof Tensor && each.shape.length === 4 ? each.shape[0] : 1),
    0,
  );
  if (count !== prompts)
    throw new RangeError(
      `\`prompt\` has batch size ${prompts} and \`image\` has batch size ${count}. Please make sure that passed ` +
        "`prompt` matches the batch size of `image`.",
    );
}
