import { StableDiffusionControlNetPipeline } from "./controlnet/stable_diffusion_controlnet.js";
import { StableDiffusionControlNetImg2ImgPipeline } from "./controlnet/stable_diffusion_controlnet_img2img.js";
import { StableDiffusionControlNetInpaintPipeline } from "./controlnet/stable_diffusion_controlnet_inpaint.js";
import { StableDiffusionXLControlNetPipeline } from "./controlnet/stable_diffusion_xl_controlnet.js";
import { StableDiffusionXLControlNetImg2ImgPipeline } from "./controlnet/stable_diffusion_xl_controlnet_img2img.js";
import { StableDiffusionXLControlNetInpaintPipeline } from "./controlnet/stable_diffusion_xl_controlnet_inpaint.js";
import { StableDiffusionXLControlNetUnionPipeline } from "./controlnet/stable_diffusion_xl_controlnet_union.js";
import { StableDiffusionXLControlNetUnionImg2ImgPipeline } from "./controlnet/stable_diffusion_xl_controlnet_union_img2img.js";
import { StableDiffusionXLControlNetUnionInpaintPipeline } from "./controlnet/stable_diffusion_xl_controlnet_union_inpaint.js";
import { StableDiffusionDepth2ImgPipeline } from "./depth2img/stable_diffusion_depth2img.js";
import { DiffusionPipeline as Base } from "./diffusion_pipeline.js";
import { StableDiffusionInstructPix2PixPipeline } from "./instruct_pix2pix/stable_diffusion_instruct_pix2pix.js";
import { StableDiffusionXLInstructPix2PixPipeline } from "./instruct_pix2pix/stable_diffusion_xl_instruct_pix2pix.js";
import { LatentConsistencyModelPipeline } from "./latent_consistency/latent_consistency.js";
import { LatentConsistencyModelImg2ImgPipeline } from "./latent_consistency/latent_consistency_img2img.js";
import { registerPipeline } from "./loading/load_pipeline.js";
import { StableDiffusionPipeline } from "./stable_diffusion/stable_diffusion.js";
import { StableDiffusionImageVariationPipeline } from "./stable_diffusion/stable_diffusion_image_variation.js";
import { StableDiffusionImg2ImgPipeline } from "./stable_diffusion/stable_diffusion_img2img.js";
import { StableDiffusionInpaintPipeline } from "./stable_diffusion/stable_diffusion_inpaint.js";
import { StableDiffusionAdapterPipeline } from "./t2i_adapter/stable_diffusion_adapter.js";
import { StableDiffusionXLAdapterPipeline } from "./t2i_adapter/stable_diffusion_xl_adapter.js";
import { StableDiffusionXLPipeline } from "./stable_diffusion_xl/stable_diffusion_xl.js";
import { StableDiffusionXLImg2ImgPipeline } from "./stable_diffusion_xl/stable_diffusion_xl_img2img.js";
import { StableDiffusionXLInpaintPipeline } from "./stable_diffusion_xl/stable_diffusion_xl_inpaint.js";
import { ConsistencyModelPipeline } from "./unconditional/consistency_models.js";
import { DDIMPipeline } from "./unconditional/ddim.js";
import { DDPMPipeline } from "./unconditional/ddpm.js";
import { KarrasVePipeline } from "./unconditional/karras_ve.js";
import { PNDMPipeline } from "./unconditional/pndm.js";
import { RePaintPipeline } from "./unconditional/repaint.js";
import { ScoreSdeVePipeline } from "./unconditional/score_sde_ve.js";
import { StableUnCLIPPipeline } from "./unclip/stable_unclip.js";
import { StableUnCLIPImg2ImgPipeline } from "./unclip/stable_unclip_img2img.js";
import { StableDiffusionLatentUpscalePipeline } from "./upscale/stable_diffusion_latent_upscale.js";
import { StableDiffusionUpscalePipeline } from "./upscale/stable_diffusion_upscale.js";

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
  StableDiffusionDepth2ImgPipeline,
  StableDiffusionInstructPix2PixPipeline,
  StableDiffusionImageVariationPipeline,
  StableUnCLIPPipeline,
  StableUnCLIPImg2ImgPipeline,
  StableDiffusionControlNetPipeline,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionAdapterPipeline,
  StableDiffusionUpscalePipeline,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionXLPipeline,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLInpaintPipeline,
  StableDiffusionXLInstructPix2PixPipeline,
  StableDiffusionXLControlNetPipeline,
  StableDiffusionXLControlNetImg2ImgPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
  StableDiffusionXLAdapterPipeline,
  StableDiffusionXLControlNetUnionPipeline,
  StableDiffusionXLControlNetUnionImg2ImgPipeline,
  StableDiffusionXLControlNetUnionInpaintPipeline,
);

function known(...classes: Parameters<typeof registerPipeline>[0][]): typeof Base {
  for (const each of classes) registerPipeline(each);
  return Base;
}
