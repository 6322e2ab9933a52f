/** Pictures as prompts of pipelines: diffusers' IPAdapterMixin (loaders/ip_adapter.py). */
import { shown } from "../../arguments/shown.js";
import { givenOptions, inOwnSpelling, refuseRespelt } from "../../arguments/spelling.js";
import { findFileSource, type FileSource } from "../../loader/file_source.js";
import { joinPath } from "../../loader/paths.js";
import { HUB_OPTION_NAMES, type HubOptions, type RepositorySource } from "../../loader/repository.js";
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { ModelDType } from "../../nn/dtype.js";
import { IPAdapter } from "../../nn/ip_adapter/ip_adapter.js";
import { scalesByPath, type ImagePromptScale } from "../../nn/ip_adapter/scales.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkCount, type CallOptions } from "../call/check_inputs.js";
import type { Guidance } from "../call/guidance.js";
import { inTurn } from "../call/in_turn.js";
import type { BaseImageProcessor } from "../images/base_image_processor.js";
import { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { needComponent } from "../loading/needed_components.js";
import { checkImagePrompts, embedsOfCall, encodePictures, type ImagePrompts } from "./image_prompts.js";
import { TextualInversionLoader } from "./textual_inversion_loader.js";

/** null is as nothing, as Python's None. Of several adapters lists of one for each, or one for all. */
export interface IPAdapterOptions extends HubOptions {
  /** Name of the file. */
  weightName?: string | readonly string[] | null;
  /** Folder of the file inside the repository. */
  subfolder?: string | readonly string[] | null;
  /**
   * Folder of the image encoder, which is loaded where the pipeline has none: beside the (first) file, in the subfolder that is
   * given, or, with a slash, in the repository. Default "image_encoder"; null for none, so that calls take `ipAdapterImageEmbeds` alone.
   */
  imageEncoderFolder?: string | null;
}

/** null is as nothing, as Python's None. */
export interface ImageEmbedsOptions {
  /** Default 1. */
  numImagesPerPrompt?: number | null;
  /** Whether there are those of no picture, too. Default true. */
  doClassifierFreeGuidance?: boolean | null;
}

const OPTION_NAMES = ["weightName", "subfolder", "imageEncoderFolder", ...HUB_OPTION_NAMES];
const EMBEDS_OPTION_NAMES = ["numImagesPerPrompt", "doClassifierFreeGuidance"];
const NEED = { classes: [UNet2DConditionModel], purpose: "to draw by pictures" };

/** Pipelines that share a UNet share its IP-Adapters, too; none of them may draw while they change. */
export abstract class IPAdapterLoader extends TextualInversionLoader {
  abstract override unet: UNet2DConditionModel;
  abstract readonly guidance: Guidance;
  abstract image_encoder: CLIPVisionModelWithProjection | null;
  abstract feature_extractor: BaseImageProcessor | null;

  /**
   * Loads an IP-Adapter, or several, in place of those that the UNet has. Calls then take a picture for each, `ipAdapterImage`.
   * @param source a repository, or the path or address of a .safetensors file, or a list of them
   * @throws Error naming the file and what in it does not fit the UNet, which is as before then
   * @example
   * await pipeline.loadIpAdapter("h94/IP-Adapter", { subfolder: "models", weightName: "ip-adapter_sd15.safetensors" });
   */
  override async loadIpAdapter(
    source: RepositorySource | readonly RepositorySource[],
    given?: IPAdapterOptions | null,
  ): Promise<void> {
    const caller = `${this.className}.loadIpAdapter`;
    const { weightName, subfolder, ...options } = givenOptions(given, OPTION_NAMES, caller);
    // null is another thing here than nothing.
    const { imageEncoderFolder: folder = "image_encoder" } = inOwnSpelling(given, OPTION_NAMES);
    refuseRespelt(caller, options, OPTION_NAMES);
    const files = await openFiles(caller, { source, weightName, subfolder }, options);
    await inTurn([this], options.signal, async () => {
      needComponent(this.className, "unet", this.unet, NEED);
      this.expectModels();
      const { unet, device } = this;
      const places = unet.promptAttentions;
      const adapters: IPAdapter[] = [];
      try {
        for (const { open } of files) {
          const adapter = await IPAdapter.describe(open, places, options.signal);
          await adapter.load(device, unet.dtype, options.signal);
          adapters.push(adapter);
        }
        await this.#addEncoder(caller, files[0], { folder, options });
      } catch (error) {
        for (const adapter of adapters) adapter.dispose();
        throw error;
      }
      unet.setIpAdapters(adapters);
    });
  }

  async #addEncoder(
    caller: string,
    beside: FileSource,
    { folder, options }: { folder: string | null; options: HubOptions & { imageEncoderFolder?: string } },
  ): Promise<void> {
    if (this.image_encoder === null && folder === null)
      console.warn(
        `${caller}: image_encoder is not loaded since \`imageEncoderFolder: null\` passed. You will not be able to use \`ipAdapterImage\`` +
          " when calling the pipeline with IP-Adapter. Use `ipAdapterImageEmbeds` to pass pre-generated image embedding instead.",
      );
    else if (this.image_encoder === null) {
      const { imageEncoderFolder: _, ...hub } = options;
      const subfolder = folder!.includes("/") ? folder! : joinPath(beside.folder, folder!);
      const how = { ...hub, subfolder, device: this.device, dtype: this.unet.dtype as ModelDType };
      this.image_encoder = await CLIPVisionModelWithProjection.fromPretrained(beside.repository, how);
    }
    if (this.feature_extractor === null) {
      const size = this.image_encoder?.config.image_size ?? 224;
      this.feature_extractor = new CLIPImageProcessor({ size, crop_size: size });
    }
  }

  /**
   * How much the pictures count beside the prompt: a number, or numbers by blocks and transformers; of several adapters a list of one for
   * each. 1 from the load on.
   * @throws TypeError, RangeError for wrong scales, and for what the UNet has not
   * @example
   * pipeline.setIpAdapterScale({ up: { block_0: [0, 1, 0] } }); // of XL: the style alone
   */
  setIpAdapterScale(scale: ImagePromptScale | readonly ImagePromptScale[]): void {
    const caller = `${this.className}.setIpAdapterScale`;
    needComponent(this.className, "unet", this.unet, NEED);
    const { ipAdapters: adapters, promptAttentions: places } = this.unet;
    const scales = (Array.isArray(scale) ? scale : [scale]) as readonly ImagePromptScale[];
    if (scales.length !== adapters.length)
      throw new RangeError(`${caller}: Cannot assign ${scales.length} scale_configs to ${adapters.length} IP-Adapter.`);
    const paths = places.map(([path]) => path);
    const next = scales.map((each) => scalesByPath(caller, each, paths));
    adapters.forEach((adapter, i) => (adapter.scaleOf = next[i]));
  }

  /** Another pipeline of the same components may have freed the image encoder that it had loaded: this one has none then. */
  protected override expectModels(): void {
    const { image_encoder: encoder } = this;
    if (encoder?.isDisposed && !encoder.device?.isLost) this.image_encoder = null;
    super.expectModels();
  }

  /** Frees the IP-Adapters and the image encoder that loadIpAdapter() has loaded; one that was given is left out. */
  async unloadIpAdapter(): Promise<void> {
    needComponent(this.className, "unet", this.unet, NEED);
    await inTurn([this], undefined, async () => {
      this.unet.setIpAdapters([]);
      this.image_encoder?.dispose();
      this.image_encoder = null;
      // A safety checker uses it.
      if (!("safety_checker" in this)) this.feature_extractor = null;
    });
  }

  /**
   * What the image encoder says of pictures, to be kept for several calls, which take it as `ipAdapterImageEmbeds`.
   * @param image a picture, or a list of one, or several, for each IP-Adapter
   * @returns for each IP-Adapter [rows, pictures, …], with guidance those of no picture first (of InstructPix2Pix last, and twice); the caller disposes them
   * @throws TypeError, RangeError for wrong arguments, and where there is no image encoder
   */
  async prepareIpAdapterImageEmbeds(image: ImagePrompts, given?: ImageEmbedsOptions | null): Promise<Tensor[]> {
    const caller = `${this.className}.prepareIpAdapterImageEmbeds`;
    const options = givenOptions(given, EMBEDS_OPTION_NAMES, caller);
    const { numImagesPerPrompt = 1, doClassifierFreeGuidance: guided = true } = options;
    needComponent(this.className, "unet", this.unet, NEED);
    checkCount("numImagesPerPrompt", numImagesPerPrompt);
    this.expectModels();
    checkImagePrompts(this, { ipAdapterImage: image });
    const repeated = await this.#withEmbeds(image, guided, (embeds) =>
      embedsOfCall(embeds, numImagesPerPrompt, this.#branchesOf(guided)),
    );
    await this.device.flush();
    return repeated;
  }

  #branchesOf(guided: boolean): number {
    return guided ? this.guidance.branches.length : 1;
  }

  /** Makes something of what the image encoder says of pictures, which is freed then. */
  async #withEmbeds(
    image: ImagePrompts,
    guided: boolean,
    work: (embeds: readonly Tensor[]) => Tensor[],
  ): Promise<Tensor[]> {
    const { ipAdapters } = this.unet;
    const encode = (): Tensor[] =>
      encodePictures(this, image, { ipAdapters, branches: guided ? this.guidance.branches : null });
    const embeds = await this.withModels(["image_encoder"], async () => encode());
    try {
      return this.device.scope(() => work(embeds));
    } finally {
      for (const each of embeds) each.dispose();
    }
  }

  /**
   * Tokens of a call's pictures for each IP-Adapter, [rows, tokens, width]; with guidance rows of all branches.
   * @param batch pictures that are drawn
   */
  protected async imageTokens(options: CallOptions, batch: number, guided: boolean): Promise<Tensor[]> {
    const { ipAdapterImage: image, ipAdapterImageEmbeds: given } = options;
    if (image === undefined && given === undefined) return [];
    const branches = this.#branchesOf(guided);
    const tokens = (embeds: readonly Tensor[]): Tensor[] =>
      this.unet.embedImages(embedsOfCall(embeds, batch, branches), branches * batch);
    return given ? this.device.scope(() => tokens(given)) : this.#withEmbeds(image!, guided, tokens);
  }
}

/** One opener for each adapter. */
async function openFiles(
  caller: string,
  { source, weightName, subfolder }: { source: unknown } & Pick<IPAdapterOptions, "weightName" | "subfolder">,
  options: HubOptions,
): Promise<FileSource[]> {
  const [sources, names, folders] = [source, weightName, subfolder].map((each) =>
    Array.isArray(each) ? (each as unknown[]) : [each],
  );
  const count = Math.max(sources.length, names.length, folders.length);
  for (const [name, list] of Object.entries({ source: sources, weightName: names, subfolder: folders })) {
    if (list.length !== 1 && list.length !== count)
      throw new RangeError(`${caller}: ${name} must be one or ${count} as the others, got ${shown(list)}`);
  }
  const of = <T>(list: unknown[], i: number): T => list[list.length === 1 ? 0 : i] as T;
  return Promise.all(
    Array.from({ length: count }, (_, i) =>
      findFileSource(caller, of<RepositorySource>(sources, i), {
        ...options,
        weightName: of<string | undefined>(names, i),
        subfolder: of<string | undefined>(folders, i),
      }),
    ),
  );
}
