/** CLIP's text encoders (Radford et al. 2021), transformers' CLIPTextModel and CLIPTextModelWithProjection. */
import { shown } from "../../arguments/shown.js";
import { inOwnSpelling } from "../../arguments/spelling.js";
import { noTensor } from "../../tensor/no_tensor.js";
import { slice } from "../../tensor/ops/copy.js";
import { concat, embedding } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { anything, isCount, isNumber, nullOr, oneOf, type ConfigSchema } from "../config.js";
import { Linear } from "../layers.js";
import type { ReadWeights } from "../weights/load_model.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { CLIPTextTransformer, type CLIPTextConfig } from "./clip_text_transformer.js";
import type { TableRow } from "./token_embedding.js";

const schema: Omit<ConfigSchema, "name"> = {
  defaults: {
    vocab_size: 49408,
    hidden_size: 512,
    intermediate_size: 2048,
    projection_dim: 512,
    num_hidden_layers: 12,
    num_attention_heads: 8,
    max_position_embeddings: 77,
    hidden_act: "quick_gelu",
    layer_norm_eps: 1e-5,
    bos_token_id: 49406,
    eos_token_id: 49407,
  },
  rules: {
    vocab_size: isCount,
    hidden_size: isCount,
    intermediate_size: isCount,
    projection_dim: isCount,
    num_hidden_layers: isCount,
    num_attention_heads: isCount,
    max_position_embeddings: isCount,
    hidden_act: oneOf("quick_gelu", "gelu"),
    layer_norm_eps: isNumber,
    bos_token_id: anything,
    eos_token_id: nullOr(Number.isSafeInteger),
  },
};

/** Token ids or marks: one row per text, all of one length; or an int32 tensor [batch, tokens]. */
export type TokenRows = readonly (readonly number[])[] | Tensor;

/** Options of a text encoder's forward(). */
export interface CLIPTextOptions {
  /** Of each token: 1 to keep it, 0 to hide it from all others (padding). */
  attentionMask?: TokenRows;
}

/** What CLIPTextModel.forward() makes of token ids. The caller disposes the tensors. */
export interface CLIPTextOutput {
  /** After final_layer_norm, [batch, tokens, hidden_size]. */
  lastHiddenState: Tensor;
  /** The row of the end token, [batch, hidden_size]. */
  pooledOutput: Tensor;
  /** Embeddings and the result of each layer, before final_layer_norm. */
  hiddenStates: Tensor[];
}

/** What both text encoders have in common. */
abstract class CLIPTextEncoder extends PretrainedModel<CLIPTextConfig> {
  static override readonly weightStem = "model";
  static override readonly modelType = "clip_text_model";
  static readonly defaults = schema.defaults;
  readonly text_model: CLIPTextTransformer;
  readonly #name: string;

  constructor(name: string, given: Readonly<Record<string, unknown>>) {
    super({ name, ...schema }, given);
    // Its sizes are in text_config: weights would be said not to fit the defaults, which nobody has asked for.
    if (given.model_type === "clip")
      throw new TypeError(
        `${name}: config model_type = "clip" is not supported: it is that of text and picture encoder in one. Save the text ` +
          `encoder alone, in Python: ${name}.from_pretrained(…).save_pretrained(folder)`,
      );
    this.#name = name;
    this.text_model = new CLIPTextTransformer(this.config);
  }

  /**
   * Gives the table of tokens other rows, and the config another vocab_size: what `resize_token_embeddings` is for.
   * @param rows numbers of rows as they are now, or new ones of hidden_size numbers
   * @throws RangeError for a row that is none; what the device says of too little memory. Nothing has changed then
   */
  async setTokenRows(rows: readonly TableRow[]): Promise<void> {
    await this.residence.visit(async () => {
      await this.text_model.embeddings.token_embedding.setRows(rows);
      this.changeConfig({ vocab_size: rows.length });
    });
  }

  override remember(read: ReadWeights): void {
    super.remember(async (device, how) => {
      if (how.only) return read(device, how); // no LoRA is for the table
      const { token_embedding: table } = this.text_model.embeddings;
      table.asInFile();
      const ignored = await read(device, how);
      try {
        await table.restore();
      } catch (error) {
        this.dispose();
        throw error;
      }
      return ignored;
    });
  }

  protected async encode(ids: TokenRows, options: CLIPTextOptions): Promise<CLIPTextOutput> {
    const name = this.#name;
    const { attentionMask } = inOwnSpelling(options, ["attentionMask"], `${name}.forward`);
    const rows = ids instanceof Tensor ? await toRows(name, "ids", ids) : ids;
    if (!Array.isArray(rows) || !rows.every(Array.isArray))
      throw new TypeError(
        `${name}: ids must be rows of numbers, [[49406, …, 49407]], or an int32 tensor [batch, tokens], got ${shown(ids)}`,
      );
    const { vocab_size, max_position_embeddings } = this.config;
    const tokens = rows[0]?.length ?? 0;
    if (tokens === 0 || tokens > max_position_embeddings || rows.some((row) => row.length !== tokens))
      throw new RangeError(
        `${name}: takes rows of one length from 1 to ${max_position_embeddings}, got lengths [${rows.map((row) => row.length).join(", ")}]`,
      );
    const wrong = rows.flat().find((id) => !Number.isInteger(id) || id < 0 || id >= vocab_size);
    if (wrong !== undefined)
      throw new RangeError(`${name}: token ids must be integers below vocab_size = ${vocab_size}, got ${shown(wrong)}`);
    const marks = attentionMask instanceof Tensor ? await toRows(name, "attentionMask", attentionMask) : attentionMask;
    if (marks) checkMask(name, marks, rows.length, tokens);
    const { token_embedding: table, position_embedding: position } = this.text_model.embeddings;
    const { device } = table.weight.value;
    return device.scope(() => {
      const idTensor = Tensor.from(Int32Array.from(rows.flat()), [rows.length, tokens], { device });
      const mask = marks && Tensor.from(Float32Array.from(marks.flat()), [rows.length, tokens], { device });
      const hiddenStates = [embedding(idTensor, table.weight.value, position.weight.value)];
      for (const layer of this.text_model.encoder.layers)
        hiddenStates.push(layer.forward(hiddenStates[hiddenStates.length - 1], mask));
      const lastHiddenState = this.finalNorm(hiddenStates[hiddenStates.length - 1]);
      return { lastHiddenState, pooledOutput: this.#pool(lastHiddenState, rows), hiddenStates };
    });
  }

  /** final_layer_norm alone, for hidden states taken before the last layer (clip_skip). */
  finalNorm(hiddenState: Tensor): Tensor {
    return this.text_model.final_layer_norm.forward(hiddenState);
  }

  /** Each text's row at its end token. Configs of 2022 say eos_token_id = 2; there the end token is the largest id. */
  #pool(states: Tensor, rows: readonly (readonly number[])[]): Tensor {
    const { eos_token_id: eos } = this.config;
    const width = states.shape[2];
    let pooled: Tensor | undefined;
    rows.forEach((row, i) => {
      const at = eos === 2 || eos === null ? row.indexOf(Math.max(...row)) : Math.max(0, row.indexOf(eos));
      const state = slice(slice(states, 0, i, 1), 1, at, 1).reshape([1, width]);
      pooled = pooled ? concat(pooled, state, 0) : state;
    });
    return pooled as Tensor;
  }
}

/**
 * Stable Diffusion's text encoder (CLIP, Radford et al. 2021): token ids to the embeddings that a UNet reads. transformers:
 * models/clip/modeling_clip.py
 * @example
 * const { lastHiddenState } = await textEncoder.forward(tokenizer("a red circle", { padding: "max_length" }).inputIds);
 */
export class CLIPTextModel extends CLIPTextEncoder {
  static readonly className = "CLIPTextModel";

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(CLIPTextModel.className, given);
  }

  /**
   * Encodes token ids. The caller disposes the tensors of the result.
   * @param ids rows up to max_position_embeddings long
   */
  async forward(ids: TokenRows, options: CLIPTextOptions = {}): Promise<CLIPTextOutput> {
    return this.encode(ids, options);
  }
}

/** What CLIPTextModelWithProjection.forward() makes of token ids. The caller disposes the tensors. */
export interface CLIPTextProjectionOutput extends Omit<CLIPTextOutput, "pooledOutput"> {
  /** The row of the end token, projected: [batch, projection_dim]. */
  textEmbeds: Tensor;
}

/** CLIPTextModel and a projection of its pooled output into the space shared with pictures: SDXL's second text encoder. */
export class CLIPTextModelWithProjection extends CLIPTextEncoder {
  static readonly className = "CLIPTextModelWithProjection";
  readonly text_projection: Linear;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(CLIPTextModelWithProjection.className, given);
    this.text_projection = new Linear(this.config.hidden_size, this.config.projection_dim, { bias: false });
  }

  /**
   * Encodes token ids. The caller disposes the tensors of the result.
   * @param ids rows up to max_position_embeddings long
   */
  async forward(ids: TokenRows, options: CLIPTextOptions = {}): Promise<CLIPTextProjectionOutput> {
    const { pooledOutput, ...rest } = await this.encode(ids, options);
    const textEmbeds = this.text_projection.forward(pooledOutput);
    pooledOutput.dispose();
    return { textEmbeds, ...rest };
  }
}

async function toRows(name: string, what: string, ids: Tensor): Promise<number[][]> {
  if (ids.dtype !== "int32" || ids.shape.length !== 2)
    throw new TypeError(`${name}: ${what} must be an int32 tensor [batch, tokens], got ${noTensor(ids)}`);
  const data = await ids.data();
  const [batch, tokens] = ids.shape;
  return Array.from({ length: batch }, (_, i) => Array.from(data.subarray(i * tokens, (i + 1) * tokens)));
}

/** @throws RangeError unless there is one mark, 0 or 1, per token, and each text keeps its first token */
function checkMask(name: string, marks: readonly (readonly number[])[], batch: number, tokens: number): void {
  if (marks.length !== batch || marks.some((row) => row.length !== tokens))
    throw new RangeError(
      `${name}: attentionMask must be [${batch}, ${tokens}] as the ids, got lengths [${marks.map((row) => row.length).join(", ")}]`,
    );
  const wrong = marks.flat().find((mark) => mark !== 0 && mark !== 1);
  if (wrong !== undefined)
    throw new RangeError(`${name}: attentionMask holds ones and zeros only, got ${shown(wrong)}`);
  if (marks.some((row) => row[0] === 0))
    throw new RangeError(
      `${name}: attentionMask must keep the first token of each text, which would have none to look at; padding comes last`,
    );
}
