import { whileReporting } from "../../arguments/progress.js";
import { shown } from "../../arguments/shown.js";
import { throwIfAborted } from "../../arguments/signal.js";
import { givenOptions, type WithoutNulls } from "../../arguments/spelling.js";
import { Callable } from "../../loader/callable.js";
import { HUB_OPTION_NAMES, openRepository, type RepositorySource } from "../../loader/repository.js";
import type { SaveTarget } from "../../loader/save_target.js";
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { SaveOptions } from "../../nn/weights/save_model.js";
import { FLAX_KARRAS_SCHEDULERS, FlaxDiffusionScheduler, type FlaxDiffusionState } from "../../schedulers/index.js";
import type { Device } from "../../tensor/device.js";
import type { JAXKey } from "../../tensor/random_jax.js";
import { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { checkFinite } from "../call/check_inputs.js";
import { inspector } from "../call/safety.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { numpyToPil } from "../images/numpy_to_pil.js";
import type { RawImage } from "../images/raw_image.js";
import { warnOfUnexpected } from "../loading/given_components.js";
import { componentEntry, configText, pipelineConfig, type PipelineConfig } from "../loading/pipeline_config.js";
import { patchSampleSize, unetSampleSize } from "../stable_diffusion/stable_diffusion_config.js";
import { drawShard, type FlaxRun, type FlaxShard } from "./flax_draw.js";
import { makeShards, pictureNames, type FlaxInputs } from "./flax_inputs.js";
import { loadFlaxParts, type FlaxPipelineOptions } from "./flax_loading.js";
import { FlaxParams, ReplicatedParams } from "./flax_params.js";
import { onDevices } from "./flax_shards.js";
import { saveFlaxPipeline } from "./save_flax.js";

/** Arguments of a call; names and defaults as in diffusers. */
export interface FlaxCallOptions {
  /** Default 7.5. Guidance is computed whatever this is. */
  guidanceScale?: number;
  /** Every device at once: params are replicated, prompts sharded, and there is a key per device. Default false. */
  jit?: boolean;
  /** Pixels, multiples of 8; by default the size that the model was trained for. */
  height?: number | null;
  width?: number | null;
  /** Initial noise instead of that of the key, shaped [batch, channels, height / 8, width / 8] (the VAE's factor for 8; [devices, batch, …]). */
  latents?: Tensor | null;
  /** From `prepareInputs`, shaped as the prompts' ids; by default empty texts. */
  negPromptIds?: Tensor | null;
  /** Which of JAX's streams keys draw from (`jax_threefry_partitionable`). Default false, as in diffusers' time. */
  partitionable?: boolean;
  /** Stops within one step and frees everything; the call rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What a call of FlaxStableDiffusionPipeline gives. */
export interface FlaxStableDiffusionOutput {
  /** [batch, height, width, 3] in [0, 1], with `jit` [devices, batch, height, width, 3]. The caller disposes it. */
  images: Tensor;
  /** By picture, device by device, whether the safety checker had it be black; null without a safety checker (in Python false). */
  nsfwContentDetected: boolean[] | null;
}

type Params = FlaxParams | ReplicatedParams;

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface FlaxStableDiffusionPipeline {
  (
    promptIds: Tensor,
    params: Params,
    prngSeed: JAXKey | readonly JAXKey[],
    numInferenceSteps?: number,
    options?: FlaxCallOptions | null,
  ): Promise<FlaxStableDiffusionOutput>;
}

const CALL_OPTIONS: OptionTable<Required<FlaxCallOptions>> = {
  guidanceScale: false,
  jit: false,
  height: true,
  width: true,
  latents: true,
  negPromptIds: true,
  partitionable: false,
  signal: true,
};

const OPTION_NAMES: readonly string[] = ["variant", "dtype", "device", "scheduler", ...HUB_OPTION_NAMES];
const COMPONENT_NAMES: readonly string[] = ["safety_checker"];

/**
 * Text to picture without state: weights and the scheduler's state are arguments of a call, and with `jit` every device draws at once.
 * diffusers 0.30.3: pipelines/stable_diffusion/pipeline_flax_stable_diffusion.py
 * @example
 * const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(repo, { dtype: "bfloat16" });
 * const { images } = await pipeline(pipeline.prepareInputs("a red circle"), params, PRNGKey(0), 25); // [1, height, width, 3]
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class FlaxStableDiffusionPipeline extends Callable {
  static readonly className = "FlaxStableDiffusionPipeline";

  /**
   * @param device where `prepareInputs` puts ids
   * @param feature_extractor makes pictures as the safety checker of the params takes them
   */
  constructor(
    readonly tokenizer: CLIPTokenizer,
    readonly scheduler: FlaxDiffusionScheduler,
    readonly device: Device,
    readonly feature_extractor: CLIPImageProcessor | null = null,
  ) {
    super();
  }

  /**
   * Loads a Stable Diffusion repository in the layout of diffusers from its safetensors files.
   * @param source a local folder (Node), an id on the hub ("owner/name"), a base URL, or EMBEDDED_MODEL
   * @returns the pipeline, and the params that it is called with; `params.dispose()` frees the weights
   * @throws Error naming file, key and fault; nothing stays allocated
   */
  static async fromPretrained(
    source: RepositorySource,
    wanted?: (FlaxPipelineOptions & Record<string, unknown>) | null,
  ): Promise<[pipeline: FlaxStableDiffusionPipeline, params: FlaxParams]> {
    const options = givenOptions(wanted, OPTION_NAMES, `${this.className}.fromPretrained`);
    const { dtype = "float32", scheduler, safety_checker: checker } = options;
    if (checker !== undefined && checker !== null)
      throw new TypeError(
        `${this.className}: safety_checker may be null, which leaves the repository's out; another one is assigned to params.safety_checker`,
      );
    if (!["float32", "float16", "bfloat16"].includes(dtype))
      throw new TypeError(`${this.className}: dtype must be "float32", "float16" or "bfloat16", got ${shown(dtype)}`);
    if (scheduler !== undefined && !(scheduler instanceof FlaxDiffusionScheduler))
      throw new TypeError(
        `${this.className}: the scheduler must be one of ${FLAX_KARRAS_SCHEDULERS.join(", ")}, without its state`,
      );
    const unexpected = Object.entries(options).filter(
      ([name]) => !OPTION_NAMES.includes(name) && !COMPONENT_NAMES.includes(name),
    );
    if (unexpected.length > 0) warnOfUnexpected(this.className, Object.fromEntries(unexpected));
    const parts = await whileReporting(options, async ({ signal }, progressCallback) => {
      const given = { ...options, signal, progressCallback };
      return loadFlaxParts(await openRepository(source, given), checker !== null, given);
    });
    patchSampleSize(parts.params.unet);
    const { tokenizer, params } = parts;
    return [new this(tokenizer, parts.scheduler, params.device, parts.feature_extractor), params];
  }

  /** What model_index.json says of such a pipeline. The models are those of the params. Frozen. */
  get config(): PipelineConfig {
    return pipelineConfig(FlaxStableDiffusionPipeline.className, {
      vae: ["diffusers", "FlaxAutoencoderKL"],
      text_encoder: ["transformers", "FlaxCLIPTextModel"],
      tokenizer: componentEntry(this.tokenizer),
      unet: ["diffusers", "FlaxUNet2DConditionModel"],
      scheduler: componentEntry(this.scheduler),
      safety_checker: this.feature_extractor ? ["stable_diffusion", "FlaxStableDiffusionSafetyChecker"] : [null, null],
      feature_extractor: componentEntry(this.feature_extractor),
    });
  }

  /**
   * Writes the folder of a StableDiffusionPipeline with the weights of `params`, which both kinds of pipeline load, and Python's
   * diffusers. (Python's Flax classes wrote msgpack, which nothing reads any more.)
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @param given params, and the options of all models
   * @throws TypeError, RangeError for wrong options; RepositoryError naming the file that cannot be written
   */
  async savePretrained(
    destination: string | SaveTarget,
    given: SaveOptions & { params: FlaxParams | ReplicatedParams },
  ): Promise<void> {
    await saveFlaxPipeline(this, destination, given);
  }

  /** As Python prints it: `FlaxStableDiffusionPipeline {…json…}` and a newline. */
  override toString(): string {
    return `${FlaxStableDiffusionPipeline.className} ${configText(this.config)}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /**
   * Texts to ids.
   * @returns an int32 tensor [texts, 77], which the caller disposes
   * @throws TypeError for anything but a string or a list of strings
   */
  prepareInputs(prompt: string | readonly string[]): Tensor {
    const texts = typeof prompt === "string" ? [prompt] : prompt;
    if (!Array.isArray(texts) || texts.length === 0 || !texts.every((text) => typeof text === "string"))
      throw new TypeError(`\`prompt\` has to be a string or a list of strings but is ${shown(prompt)}`);
    const { inputIds } = this.tokenizer(texts as string[], { padding: "max_length", truncation: true });
    return Tensor.from(Int32Array.from(inputIds.flat()), [inputIds.length, inputIds[0].length], {
      device: this.device,
    });
  }

  /**
   * Draws pictures; a pipeline is called like a function. The same key gives the same picture, whatever the device. A device
   * that is lost on the way is replaced by another one.
   * @param promptIds from `prepareInputs`; with `jit` through `shard`
   * @param params with `jit` through `replicate`
   * @param prngSeed a key; with `jit` one per device, from `split`
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted; an Error that says which pictures are
   *   missing when all devices are lost
   */
  override async call(
    promptIds: Tensor,
    params: Params,
    prngSeed: JAXKey | readonly JAXKey[],
    numInferenceSteps = 50,
    given?: FlaxCallOptions | null,
  ): Promise<FlaxStableDiffusionOutput> {
    const options = takeOptions("FlaxStableDiffusionPipeline", given, CALL_OPTIONS, "refuse");
    // Python's replicate and shard are no coroutines: what was not awaited is awaited here.
    const inputs: FlaxInputs = {
      promptIds: await promptIds,
      prngSeed: await prngSeed,
      jit: options.jit ?? false,
      latents: await options.latents,
      negPromptIds: await options.negPromptIds,
    };
    const weights = await params;
    if (!Number.isSafeInteger(numInferenceSteps) || numInferenceSteps < 1)
      throw new RangeError(`\`numInferenceSteps\` must be a positive integer, got ${shown(numInferenceSteps)}`);
    const replicas = replicasOf(weights, inputs.jit);
    const run = this.#prepareRun(weights, replicas[0], numInferenceSteps, options);
    const { shards, shape } = await makeShards(inputs, replicas.length, run.shape, this.tokenizer);

    const drawn = await this.#draw(replicas, shards, { ...run, shape });
    const home = [this.device, ...replicas.map(({ device }) => device)].find((device) => !device.isLost) as Device;
    const [{ shape: each }] = drawn;
    const data = new Float32Array(drawn.length * drawn[0].data.length);
    drawn.forEach((shard, i) => data.set(shard.data, i * shard.data.length));
    const images = Tensor.from(data, inputs.jit ? [drawn.length, ...each] : each, { device: home });
    await home.flush();
    return { images, nsfwContentDetected: drawn.every(({ flagged }) => flagged) ? drawn.flatMap(flagsOf) : null };
  }

  #prepareRun(
    params: Params,
    { unet, vae }: FlaxParams,
    steps: number,
    options: WithoutNulls<FlaxCallOptions>,
  ): FlaxRun {
    const [defaultHeight, defaultWidth] = unetSampleSize(unet).map((n) => n * vae.scaleFactor);
    const {
      height = defaultHeight,
      width = defaultWidth,
      guidanceScale = 7.5,
      partitionable = false,
      jit = false,
      signal,
    } = options;
    for (const [name, value] of Object.entries({ height, width }))
      if (!Number.isSafeInteger(value) || value <= 0)
        throw new RangeError(`\`${name}\` must be a positive integer, got ${shown(value)}`);
    if (height % 8 !== 0 || width % 8 !== 0)
      throw new RangeError(`\`height\` and \`width\` have to be divisible by 8 but are ${height} and ${width}.`);
    checkFinite("guidanceScale", guidanceScale);
    throwIfAborted(signal);
    const { scheduler, feature_extractor } = this;
    const { className } = FlaxStableDiffusionPipeline;
    const created = this.#state(params);
    // Set here, before anything is allocated, so that a schedule that cannot be is refused at once.
    const state = scheduler.setTimesteps(created, steps);
    return {
      scheduler,
      state,
      initNoiseSigma: created.initNoiseSigma,
      steps,
      guidanceScale,
      partitionable,
      jit,
      shape: [unet.config.in_channels, ...[height, width].map((side) => Math.floor(side / vae.scaleFactor))],
      inspectorOf: ({ safety_checker }) =>
        inspector(className, { safety_checker, feature_extractor })?.("float32") ?? null,
      signals: [signal],
    };
  }

  #state({ scheduler: state }: Params): FlaxDiffusionState {
    if (state) return state;
    throw new Error(
      `FlaxStableDiffusionPipeline: params.scheduler is missing. The pipeline was given a scheduler, so its state must be set: ` +
        `const [scheduler, state] = await ${this.scheduler.className}.fromPretrained(…); params.scheduler = state`,
    );
  }

  async #draw(replicas: readonly FlaxParams[], shards: readonly FlaxShard[], run: FlaxRun): Promise<Drawn[]> {
    const work = async (job: number, device: number, signal?: AbortSignal): Promise<Drawn> => {
      const shard = shards[job];
      const { images, flagged } = await drawShard(replicas[device], shard, {
        ...run,
        signals: [...run.signals, signal],
      });
      try {
        return { data: (await images.data()) as Float32Array, shape: images.shape, flagged };
      } finally {
        images.dispose();
      }
    };
    if (replicas.length === 1) return [await work(0, 0)];
    const devices = replicas.map(({ device }) => device);
    return onDevices(devices, work, (jobs) => pictureNames(jobs, run.shape[0]));
  }

  /** Pictures from a call's images; those of a call with `jit` are reshaped before. See numpyToPil(). */
  numpyToPil(images: Tensor): Promise<RawImage[]> {
    return numpyToPil(images);
  }
}

/** The pictures of one device. */
interface Drawn {
  data: Float32Array;
  shape: readonly number[];
  flagged: boolean[] | null;
}

const flagsOf = ({ flagged }: Drawn): boolean[] => flagged ?? [];

function replicasOf(params: Params, jit: boolean): readonly FlaxParams[] {
  if (params instanceof ReplicatedParams && jit) return params.replicas;
  if (params instanceof FlaxParams && !jit) return [params];
  throw new TypeError(
    jit
      ? "FlaxStableDiffusionPipeline: jit: true draws on every device, so params must be `await replicate(params)`"
      : "FlaxStableDiffusionPipeline: takes the params of fromPretrained(); replicated ones go with jit: true",
  );
}
