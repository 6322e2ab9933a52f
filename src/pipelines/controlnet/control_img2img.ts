/** What a call is given that begins with a picture and is steered by another one, checked, and what it makes of both; whatever the prompts are. */
import type { Scheduler } from "../../schedulers/index.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkPrompts, checkTensor, type CallOptions } from "../call/check_inputs.js";
import type { Encoder } from "../call/encode_image.js";
import { checkStrength, givenLatents, imageLatents, imageTimesteps } from "../call/image_latents.js";
import { checkImages, processedSize, type ImageInput } from "../images/image_processor.js";
import type { Start } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkSides } from "./check_controlnet.js";
import { controlCall, type Steered } from "./control_call.js";
import type { SteeringOptions } from "./steering_options.js";

interface Sources {
  image: ImageInput | readonly ImageInput[];
  controlImage: unknown;
  strength: number;
  height?: number;
  width?: number;
  latents?: Tensor;
}

export interface ControlImg2ImgCall {
  /** Pixels that are drawn. */
  height: number;
  width: number;
  start: (scheduler: Scheduler) => Omit<Start, "prompts">;
}

/**
 * @param how tensors: those that callbacks may ask for; scaled: of the encoder
 * @throws RangeError, TypeError for wrong arguments, and for ControlNets that are missing or of another UNet
 */
export function controlImg2ImgCall(
  pipeline: Steered,
  prompt: Prompt,
  options: CallOptions & SteeringOptions & Sources,
  { tensors, scaled }: { tensors: readonly string[]; scaled?: Encoder["scaled"] },
): ControlImg2ImgCall {
  const { className, device, vae, vaeScaleFactor: scaleFactor, unet } = pipeline;
  const { image, strength, generator, latents } = options;
  const latentChannels = unet.config.in_channels;
  checkStrength(strength);
  checkPrompts(prompt, options, device, tensors);
  checkTensor("latents", latents, ["batch", "channels", "height", "width"], device);
  checkGeneratorTypes(generator);
  checkImages(image, device);
  const control = controlCall(pipeline, prompt, { argument: "controlImage" }, options);
  checkSides({ height: options.height, width: options.width }, scaleFactor);
  const encoder = { className, device, vae, vaeScaleFactor: scaleFactor, latentChannels, scaled };
  const { height, width } = processedSize(latents ?? image, { latentChannels, scaleFactor }, options);
  return {
    height,
    width,
    start: (scheduler) => ({
      timesteps: () => imageTimesteps(scheduler, options, strength),
      uses: ["vae"],
      latents: async (batch, dtype, timesteps) => {
        const planes = await control.planes({ height, width, scaleFactor });
        const size = [width, height] as const;
        const [timestep] = timesteps;
        return control.begin(planes, { batch, steps: timesteps.length }, async () => ({
          latents: latents
            ? givenLatents(latents, batch, latentChannels)
            : await imageLatents(encoder, image, { batch, dtype, generator, scheduler, timestep, size }),
        }));
      },
    }),
  };
}
