import { ConsistencyModelPipeline } from "./consistency_models.js";
import { DDIMPipeline } from "./ddim.js";
import { DDPMPipeline } from "./ddpm.js";
import { DiffusionPipeline as Base } from "./diffusion_pipeline.js";
import { KarrasVePipeline } from "./karras_ve.js";
import { LatentConsistencyModelPipeline } from "./latent_consistency.js";
import { LatentConsistencyModelImg2ImgPipeline } from "./latent_consistency_img2img.js";
import { registerPipeline } from "./load_pipeline.js";
import { PNDMPipeline } from "./pndm.js";
import { RePaintPipeline } from "./repaint.js";
import { ScoreSdeVePipeline } from "./score_sde_ve.js";
import { StableDiffusionPipeline } from "./stable_diffusion.js";
import { StableDiffusionControlNetPipeline } from "./stable_diffusion_controlnet.js";
import { StableDiffusionControlNetImg2ImgPipeline } from "./stable_diffusion_controlnet_img2img.js";
import { StableDiffusionControlNetInpaintPipeline } from "./stable_diffusion_controlnet_inpaint.js";
import { StableDiffusionImg2ImgPipeline } from "./stable_diffusion_img2img.js";
import { StableDiffusionInpaintPipeline } from "./stable_diffusion_inpaint.js";
import { StableDiffusionLatentUpscalePipeline } from "./stable_diffusion_latent_upscale.js";
import { StableDiffusionUpscalePipeline } from "./stable_diffusion_upscale.js";
import { StableDiffusionInstructPix2PixPipeline } from "./stable_diffusion_instruct_pix2pix.js";
import { StableDiffusionXLPipeline } from "./stable_diffusion_xl.js";
import { StableDiffusionXLControlNetPipeline } from "./stable_diffusion_xl_controlnet.js";
import { StableDiffusionXLControlNetImg2ImgPipeline } from "./stable_diffusion_xl_controlnet_img2img.js";
import { StableDiffusionXLControlNetInpaintPipeline } from "./stable_diffusion_xl_controlnet_inpaint.js";
import { StableDiffusionXLInpaintPipeline } from "./stable_diffusion_xl_inpaint.js";
import { StableDiffusionXLImg2ImgPipeline } from "./stable_diffusion_xl_img2img.js";
import { StableDiffusionXLInstructPix2PixPipeline } from "./stable_diffusion_xl_instruct_pix2pix.js";

export type DiffusionPipeline = Base;

/** DiffusionPipeline with every class that a model_index.json may name. */
// A name of this file's own: bundlers follow what is merely exported again to where it comes from, and leave out the
// classes that a program does not name itself. Turbopack does so whatever package.json says of side effects.
export const DiffusionPipeline: typeof Base = known(
  DDIMPipeline,
  DDPMPipeline,
  PNDMPipeline,
  ConsistencyModelPipeline,
  ScoreSdeVePipeline,
  KarrasVePipeline,
  RePaintPipeline,
  LatentConsistencyModelPipeline,
  LatentConsistencyModelImg2ImgPipeline,
  StableDiffusionPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionInstructPix2PixPipeline,
  StableDiffusionControlNetPipeline,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionUpscalePipeline,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionXLPipeline,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLInpaintPipeline,
  StableDiffusionXLInstructPix2PixPipeline,
  StableDiffusionXLControlNetPipeline,
  StableDiffusionXLControlNetImg2ImgPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
);

function known(...classes: Parameters<typeof registerPipeline>[0][]): typeof Base {
  for (const each of classes) registerPipeline(each);
  return Base;
}
