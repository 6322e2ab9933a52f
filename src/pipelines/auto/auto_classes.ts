/** Which class does a task with given models, diffusers/pipelines/auto_pipeline.py. */
import { ANY_UNION } from "../controlnet/controlnet_component.js";
import { StableDiffusionControlNetPipeline } from "../controlnet/stable_diffusion_controlnet.js";
import { StableDiffusionControlNetImg2ImgPipeline } from "../controlnet/stable_diffusion_controlnet_img2img.js";
import { StableDiffusionControlNetInpaintPipeline } from "../controlnet/stable_diffusion_controlnet_inpaint.js";
import { StableDiffusionXLControlNetPipeline } from "../controlnet/stable_diffusion_xl_controlnet.js";
import { StableDiffusionXLControlNetImg2ImgPipeline } from "../controlnet/stable_diffusion_xl_controlnet_img2img.js";
import { StableDiffusionXLControlNetInpaintPipeline } from "../controlnet/stable_diffusion_xl_controlnet_inpaint.js";
import { StableDiffusionXLControlNetUnionPipeline } from "../controlnet/stable_diffusion_xl_controlnet_union.js";
import { StableDiffusionXLControlNetUnionImg2ImgPipeline } from "../controlnet/stable_diffusion_xl_controlnet_union_img2img.js";
import { StableDiffusionXLControlNetUnionInpaintPipeline } from "../controlnet/stable_diffusion_xl_controlnet_union_inpaint.js";
import { LatentConsistencyModelPipeline } from "../latent_consistency/latent_consistency.js";
import { LatentConsistencyModelImg2ImgPipeline } from "../latent_consistency/latent_consistency_img2img.js";
import type { PipelineClass } from "../loading/load_pipeline.js";
import { StableDiffusionPipeline } from "../stable_diffusion/stable_diffusion.js";
import { StableDiffusionImg2ImgPipeline } from "../stable_diffusion/stable_diffusion_img2img.js";
import { StableDiffusionInpaintPipeline } from "../stable_diffusion/stable_diffusion_inpaint.js";
import { StableDiffusionXLPipeline } from "../stable_diffusion_xl/stable_diffusion_xl.js";
import { StableDiffusionXLImg2ImgPipeline } from "../stable_diffusion_xl/stable_diffusion_xl_img2img.js";
import { StableDiffusionXLInpaintPipeline } from "../stable_diffusion_xl/stable_diffusion_xl_inpaint.js";

/** By kind of models, under diffusers' names; one with ControlNets ends in the name of a Steering. */
export const AUTO_CLASSES = {
  Text2Image: {
    "stable-diffusion": StableDiffusionPipeline,
    "stable-diffusion-xl": StableDiffusionXLPipeline,
    "stable-diffusion-controlnet": StableDiffusionControlNetPipeline,
    "stable-diffusion-xl-controlnet": StableDiffusionXLControlNetPipeline,
    "stable-diffusion-xl-controlnet-union": StableDiffusionXLControlNetUnionPipeline,
    lcm: LatentConsistencyModelPipeline,
  },
  Image2Image: {
    "stable-diffusion": StableDiffusionImg2ImgPipeline,
    "stable-diffusion-xl": StableDiffusionXLImg2ImgPipeline,
    "stable-diffusion-controlnet": StableDiffusionControlNetImg2ImgPipeline,
    "stable-diffusion-xl-controlnet": StableDiffusionXLControlNetImg2ImgPipeline,
    "stable-diffusion-xl-controlnet-union": StableDiffusionXLControlNetUnionImg2ImgPipeline,
    lcm: LatentConsistencyModelImg2ImgPipeline,
  },
  Inpainting: {
    "stable-diffusion": StableDiffusionInpaintPipeline,
    "stable-diffusion-xl": StableDiffusionXLInpaintPipeline,
    "stable-diffusion-controlnet": StableDiffusionControlNetInpaintPipeline,
    "stable-diffusion-xl-controlnet": StableDiffusionXLControlNetInpaintPipeline,
    "stable-diffusion-xl-controlnet-union": StableDiffusionXLControlNetUnionInpaintPipeline,
  },
} as const;

export type AutoTask = keyof typeof AUTO_CLASSES;

/** By ControlNets, by unions of them, or by none. */
export type Steering = "-controlnet" | "-controlnet-union" | "";

/** By what is given as `controlnet`. */
export function steeringBy(controlnet: unknown): Steering {
  if (controlnet === null) return "";
  return controlnet instanceof (ANY_UNION as never) ? "-controlnet-union" : "-controlnet";
}

const classesOf = (task: AutoTask): [kind: string, Class: PipelineClass][] => Object.entries(AUTO_CLASSES[task]);

/**
 * The class that does `task` with the models of the class that is `named`; undefined where there is none. diffusers puts class names
 * together, and finds none for a ControlNet in place of another one, nor for one where the class is of another task; this finds it.
 * @param steering what is wanted; undefined for as it is
 */
export function autoClass(task: AutoTask, named: unknown, steering?: Steering): PipelineClass | undefined {
  const all = (Object.keys(AUTO_CLASSES) as AutoTask[]).flatMap(classesOf);
  const [kind] = all.find(([, { className }]) => className === named) ?? [];
  if (kind === undefined) return undefined;
  const wanted = steering === undefined ? kind : kind.replace(/-controlnet(-union)?$/, "") + steering;
  return classesOf(task).find(([each]) => each === wanted)?.[1];
}

/** The classes that do a task, for messages. */
export const autoNames = (task: AutoTask): string =>
  classesOf(task)
    .map(([, { className }]) => className)
    .join(", ");
