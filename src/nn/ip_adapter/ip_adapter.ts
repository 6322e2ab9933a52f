/** Pictures as prompts (IP-Adapter, Ye et al. 2023, arXiv:2308.06721), diffusers' loaders/ip_adapter.py and IPAdapterAttnProcessor. */
import { ConfigError, quote } from "../../loader/errors.js";
import type { OpenFile } from "../../loader/file_source.js";
import { readSafetensorsHeader, type SafetensorsEntry } from "../../loader/safetensors.js";
import type { Operand } from "../../tensor/columns.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { attention } from "../../tensor/ops/attention.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Attention } from "../attention.js";
import { Linear } from "../layers.js";
import { LinearStack } from "../linear_stack.js";
import { Module, weightsOf } from "../module.js";
import { loadWeights } from "../weights/weights.js";
import { FullProjection, Resampler, TokenProjection, type ImageProjection } from "./projections.js";

/** A cross-attention of a UNet, "down_blocks.1.attentions.0.transformer_blocks.0.attn2". */
export type AttentionPlace = readonly [path: string, attention: Attention];

/** Keys and values of a picture's tokens. */
class ImageLayer extends Module {
  readonly to_k_ip: Linear;
  readonly to_v_ip: Linear;
  readonly #projections: LinearStack;

  constructor(contextWidth: number, width: number) {
    super();
    this.to_k_ip = new Linear(contextWidth, width, { bias: false });
    this.to_v_ip = new Linear(contextWidth, width, { bias: false });
    this.#projections = new LinearStack([this.to_k_ip, this.to_v_ip]);
  }

  /** Kept with the tokens. */
  forward(tokens: Tensor): Operand[] {
    const project = (): Tensor[] => this.#projections.products(tokens);
    return this.#projections.split(tokens.memo(this, project, weightsOf(this)));
  }
}

/** What is on its way through a UNet of one adapter's pictures. */
export interface ImagePrompt {
  readonly adapter: IPAdapter;
  /** [batch, pictures * tokens, width] */
  readonly tokens: Tensor;
}

/** The layers that one file adds to a UNet. Field paths are the file's keys. */
export class IPAdapter extends Module {
  readonly image_proj: ImageProjection;
  /** By the place of the attention among those of the UNet, of which every other one is among its own pixels. */
  readonly ip_adapter: readonly (ImageLayer | null)[];
  /** How much the pictures count, by the path of the attention. */
  scaleOf: (path: string) => number = () => 1;
  readonly #layers: ReadonlyMap<Attention, { path: string; layer: ImageLayer }>;

  private constructor(
    private readonly open: OpenFile,
    projection: ImageProjection,
    places: readonly AttentionPlace[],
  ) {
    super();
    const layers = places.map(([, { to_k }]) => new ImageLayer(to_k.weight.shape[1], to_k.weight.shape[0]));
    this.image_proj = projection;
    this.ip_adapter = layers.flatMap((layer) => [null, layer]);
    this.#layers = new Map(places.map(([path, attention], i) => [attention, { path, layer: layers[i] }]));
  }

  /**
   * Reads what a file says of its shapes; load() then reads its weights.
   * @param places those of the UNet, in the order of diffusers: down, up, middle
   * @throws ConfigError for files of another kind
   */
  static async describe(open: OpenFile, places: readonly AttentionPlace[], signal?: AbortSignal): Promise<IPAdapter> {
    const file = await open(signal);
    try {
      const { entries } = await readSafetensorsHeader(file);
      return new IPAdapter(open, projectionOf(file.path, entries), places);
    } finally {
      await file.close?.();
    }
  }

  /**
   * Fills the weights, those of a lost device once more.
   * @throws Error naming what in the file does not fit the UNet; nothing stays allocated
   */
  async load(device: Device, dtype: DType, signal?: AbortSignal): Promise<void> {
    const file = await this.open(signal);
    try {
      await loadWeights("IP-Adapter", this, [file], { device, dtype, signal });
    } finally {
      await file.close?.();
    }
  }

  /**
   * Tokens of pictures.
   * @param embeds [batch, pictures, …] as the projection reads them
   * @returns [batch, pictures * tokens, width]
   * @throws RangeError for other shapes
   */
  tokensOf(embeds: Tensor, batch: number): Tensor {
    const [rows, pictures, ...rest] = embeds.shape;
    const { readsHiddenStates: many, inputWidth } = this.image_proj;
    if (rows !== batch || rest.length !== (many ? 2 : 1) || rest.at(-1) !== inputWidth)
      throw new RangeError(
        `UNet2DConditionModel: imageEmbeds of this IP-Adapter must be [${batch}, pictures, ${many ? "tokens, " : ""}${inputWidth}], ` +
          `got [${embeds.shape.join(", ")}]`,
      );
    return embeds.device.scope(() => {
      const tokens = this.image_proj.forward(embeds.reshape([batch * pictures, ...rest]));
      return tokens.reshape([batch, pictures * tokens.shape[1], tokens.shape[2]]);
    });
  }

  /** Adds what the queries of an attention see of the pictures to what they see of the prompt. */
  addTo(seen: Tensor, of: Attention, q: Operand, tokens: Tensor, heads: number): Tensor {
    const { layer, path } = this.#layers.get(of) ?? {};
    const scale = path === undefined ? 0 : this.scaleOf(path);
    if (!layer || scale === 0) return seen;
    const [k, v] = layer.forward(tokens);
    return linearCombination([
      [1, seen],
      [scale, attention(q, k, v, { heads })],
    ]);
  }

  /** The scales, for what is recorded with them. */
  get key(): string {
    return JSON.stringify([...this.#layers.values()].map(({ path }) => this.scaleOf(path)));
  }

  dispose(): void {
    for (const [, parameter] of this.parameters()) parameter.dispose();
  }
}

type Entries = ReadonlyMap<string, SafetensorsEntry>;

/** What is in the file under "image_proj.", in diffusers' order of questions. */
function projectionOf(path: string, entries: Entries): ImageProjection {
  const shape = (name: string): readonly number[] | undefined => entries.get(`image_proj.${name}`)?.shape;
  const [outputs, inputWidth] = shape("proj.weight") ?? [];
  if (outputs !== undefined) return new TokenProjection(inputWidth, outputs);
  const [full] = shape("proj.3.weight") ?? [];
  if (full !== undefined) return new FullProjection(shape("proj.0.weight")?.[1] ?? 0, full);
  if (shape("perceiver_resampler.proj_in.weight") ?? shape("norm.weight"))
    throw new ConfigError(
      `${path}: is an IP-Adapter Face ID, which reads embeddings of faces; nothing here computes it`,
    );
  const latents = shape("latents");
  if (!latents)
    throw new ConfigError(
      `${path}: has none of an IP-Adapter's image projections; its keys begin with ${quote([...entries.keys()][0] ?? "")}`,
    );
  let depth = 0;
  while (shape(`layers.${depth}.0.to_q.weight`)) depth++;
  return new Resampler({
    inputWidth: shape("proj_in.weight")?.[1] ?? 0,
    hidden: latents[2] ?? 0,
    queries: latents[1] ?? 0,
    depth,
    inner: shape("layers.0.0.to_q.weight")?.[0] ?? 0,
    forward: shape("layers.0.1.1.weight")?.[0] ?? 0,
    width: shape("proj_out.weight")?.[0] ?? 0,
  });
}
