/** Which class does a task with given models, diffusers/pipelines/auto_pipeline.py. */
import { StableDiffusionControlNetPipeline } from "../controlnet/stable_diffusion_controlnet.js";
import { StableDiffusionControlNetImg2ImgPipeline } from "../controlnet/stable_diffusion_controlnet_img2img.js";
import { StableDiffusionControlNetInpaintPipeline } from "../controlnet/stable_diffusion_controlnet_inpaint.js";
import { StableDiffusionXLControlNetPipeline } from "../controlnet/stable_diffusion_xl_controlnet.js";
import { StableDiffusionXLControlNetImg2ImgPipeline } from "../controlnet/stable_diffusion_xl_controlnet_img2img.js";
import { StableDiffusionXLControlNetInpaintPipeline } from "../controlnet/stable_diffusion_xl_controlnet_inpaint.js";
import { LatentConsistencyModelPipeline } from "../latent_consistency/latent_consistency.js";
import { LatentConsistencyModelImg2ImgPipeline } from "../latent_consistency/latent_consistency_img2img.js";
import type { PipelineClass } from "../loading/load_pipeline.js";
import { StableDiffusionPipeline } from "../stable_diffusion/stable_diffusion.js";
import { StableDiffusionImg2ImgPipeline } from "../stable_diffusion/stable_diffusion_img2img.js";
import { StableDiffusionInpaintPipeline } from "../stable_diffusion/stable_diffusion_inpaint.js";
import { StableDiffusionXLPipeline } from "../stable_diffusion_xl/stable_diffusion_xl.js";
import { StableDiffusionXLImg2ImgPipeline } from "../stable_diffusion_xl/stable_diffusion_xl_img2img.js";
import { StableDiffusionXLInpaintPipeline } from "../stable_diffusion_xl/stable_diffusion_xl_inpaint.js";

/** By kind of models, under diffusers' names; one with ControlNets ends in STEERED. */
export const AUTO_CLASSES = {
  Text2Image: {
    "stable-diffusion": StableDiffusionPipeline,
    "stable-diffusion-xl": StableDiffusionXLPipeline,
    "stable-diffusion-controlnet": StableDiffusionControlNetPipeline,
    "stable-diffusion-xl-controlnet": StableDiffusionXLControlNetPipeline,
    lcm: LatentConsistencyModelPipeline,
  },
  Image2Image: {
    "stable-diffusion": StableDiffusionImg2ImgPipeline,
    "stable-diffusion-xl": StableDiffusionXLImg2ImgPipeline,
    "stable-diffusion-controlnet": StableDiffusionControlNetImg2ImgPipeline,
    "stable-diffusion-xl-controlnet": StableDiffusionXLControlNetImg2ImgPipeline,
    lcm: LatentConsistencyModelImg2ImgPipeline,
  },
  Inpainting: {
    "stable-diffusion": StableDiffusionInpaintPipeline,
    "stable-diffusion-xl": StableDiffusionXLInpaintPipeline,
    "stable-diffusion-controlnet": StableDiffusionControlNetInpaintPipeline,
    "stable-diffusion-xl-controlnet": StableDiffusionXLControlNetInpaintPipeline,
  },
} as const;

export type AutoTask = keyof typeof AUTO_CLASSES;

const STEERED = "-controlnet";

const classesOf = (task: AutoTask): [kind: string, Class: PipelineClass][] => Object.entries(AUTO_CLASSES[task]);

/**
 * The class that does `task` with the models of the class that is `named`; undefined where there is none. diffusers puts class names
 * together, and finds none for a ControlNet in place of another one, nor for one where the class is of another task; this finds it.
 * @param steered whether ControlNets are wanted; undefined for as it is
 */
export function autoClass(task: AutoTask, named: unknown, steered?: boolean): PipelineClass | undefined {
  const all = (Object.keys(AUTO_CLASSES) as AutoTask[]).flatMap(classesOf);
  const [kind] = all.find(([, { className }]) => className === named) ?? [];
  if (kind === undefined) return undefined;
  const wanted = steered === undefined ? kind : kind.replace(STEERED, "") + (steered ? STEERED : "");
  return classesOf(task).find(([each]) => each === wanted)?.[1];
}

/** The classes that do a task, for messages. */
export const autoNames = (task: AutoTask): string =>
  classesOf(task)
    .map(([, { className }]) => className)
    .join(", ");
