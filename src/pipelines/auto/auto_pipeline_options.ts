/** How pipelines are made and called whose class is known by its task alone. */
import type { Tensor } from "../../tensor/tensor.js";
import type { ControlNetComponent, ControlNetUnionComponent } from "../controlnet/controlnet_component.js";
import type { ControlNetPipelineOptions } from "../controlnet/stable_diffusion_controlnet.js";
import type { ControlNetImg2ImgOptions } from "../controlnet/stable_diffusion_controlnet_img2img.js";
import type { ControlNetInpaintOptions } from "../controlnet/stable_diffusion_controlnet_inpaint.js";
import type { XLControlNetPipelineOptions } from "../controlnet/stable_diffusion_xl_controlnet.js";
import type { XLControlNetImg2ImgOptions } from "../controlnet/stable_diffusion_xl_controlnet_img2img.js";
import type { XLControlNetInpaintOptions } from "../controlnet/stable_diffusion_xl_controlnet_inpaint.js";
import type { XLControlNetUnionPipelineOptions } from "../controlnet/stable_diffusion_xl_controlnet_union.js";
import type { XLControlNetUnionImg2ImgOptions } from "../controlnet/stable_diffusion_xl_controlnet_union_img2img.js";
import type { XLControlNetUnionInpaintOptions } from "../controlnet/stable_diffusion_xl_controlnet_union_inpaint.js";
import type { RawImage } from "../images/raw_image.js";
import type { LatentConsistencyOptions } from "../latent_consistency/latent_consistency_base.js";
import type { LatentConsistencyImg2ImgOptions } from "../latent_consistency/latent_consistency_img2img.js";
import type { Img2ImgOptions } from "../stable_diffusion/stable_diffusion_img2img.js";
import type { InpaintOptions } from "../stable_diffusion/stable_diffusion_inpaint.js";
import type {
  Prompt,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "../stable_diffusion/stable_diffusion_options.js";
import type {
  XLImg2ImgOptions,
  XLInpaintOptions,
  XLOptions,
} from "../stable_diffusion_xl/stable_diffusion_xl_options.js";

/** What decides on the class, besides the file or the pipeline. */
export interface AutoOptions {
  /** What steers: the class with ControlNets is taken. null, too, when loading; of another pipeline null takes the one without. */
  controlnet?: ControlNetComponent["controlnet"] | ControlNetUnionComponent["controlnet"];
  /** Not supported: true is refused. */
  enablePag?: boolean | null;
}

/** What a call gives; pipelines of XL say nothing of safety. */
export type AutoOutput<Images = RawImage[]> = Pick<StableDiffusionOutput<Images>, "images"> &
  Partial<StableDiffusionOutput<Images>>;

/** How pipelines of a task are called, whichever they are. */
interface AutoCall<Options> {
  (prompt: Prompt, options: Options & { outputType: "np" | "pt" | "latent" }): Promise<AutoOutput<Tensor>>;
  (prompt: Prompt, options: Options): Promise<AutoOutput>;
}

/** Text to picture; with ControlNets `image` is what they read, with unions of them `controlImage`. */
export type Text2ImageCall = AutoCall<
  | StableDiffusionOptions
  | LatentConsistencyOptions
  | XLOptions
  | ControlNetPipelineOptions
  | XLControlNetPipelineOptions
  | XLControlNetUnionPipelineOptions
> &
  ((prompt: Prompt) => Promise<AutoOutput>);

/** Picture to picture. */
export type Image2ImageCall = AutoCall<
  | Img2ImgOptions
  | LatentConsistencyImg2ImgOptions
  | XLImg2ImgOptions
  | ControlNetImg2ImgOptions
  | XLControlNetImg2ImgOptions
  | XLControlNetUnionImg2ImgOptions
>;

/** Pictures and masks to pictures. */
export type InpaintingCall = AutoCall<
  | InpaintOptions
  | XLInpaintOptions
  | ControlNetInpaintOptions
  | XLControlNetInpaintOptions
  | XLControlNetUnionInpaintOptions
>;
