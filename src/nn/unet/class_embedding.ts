/** Embeddings of class labels, added to the time embedding; _set_class_embedding of diffusers' UNets. */
import { shown } from "../../arguments/shown.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { cast, repeatRows } from "../../tensor/ops/copy.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Activation } from "../activations.js";
import { TimestepEmbedding } from "../embeddings.js";
import { Embedding, Linear } from "../layers.js";
import { Module } from "../module.js";
import { lookUp, type Steps, type TimeProjection } from "./time_proj.js";

/** Classes as numbers or int32 [batch], levels that are embedded like timesteps, or vectors [batch, width]. */
export type ClassLabels = Steps;

/** Where the labels go, and as what. */
export interface EmbedContext {
  device: Device;
  dtype: DType;
  batch: number;
  timeProj: TimeProjection;
}

export interface ClassEmbedding extends Module {
  /** @returns [1 or batch, width] in the context's dtype */
  embed(labels: ClassLabels, context: EmbedContext): Tensor;
}

export interface ClassEmbeddingOptions {
  /** class_embed_type */
  type: string | null;
  /** num_class_embeds */
  count: number | null;
  /** Width of the time embedding. */
  width: number;
  /** Width of what the time projection gives. */
  projectedWidth: number;
  /** projection_class_embeddings_input_dim */
  inputWidth: number | null;
  activation: Activation;
}

/** @throws TypeError naming the config key that is missing */
export function classEmbedding(model: string, options: ClassEmbeddingOptions): ClassEmbedding | null {
  const { type, count, width, projectedWidth, inputWidth, activation } = options;
  if (type === null) return count === null ? null : new ClassTable(count, width);
  if (type === "timestep") return new ClassSinusoid(projectedWidth, width, { activation });
  if (type === "identity") return new ClassIdentity();
  if (inputWidth === null)
    throw new TypeError(`${model}: config class_embed_type = "${type}" needs projection_class_embeddings_input_dim`);
  return type === "projection" ? new ClassProjection(inputWidth, width) : new ClassLinear(inputWidth, width);
}

class ClassTable extends Embedding implements ClassEmbedding {
  embed(labels: ClassLabels, { device }: EmbedContext): Tensor {
    return lookUp(this, labels, device);
  }
}

class ClassSinusoid extends TimestepEmbedding implements ClassEmbedding {
  embed(labels: ClassLabels, { device, dtype, timeProj }: EmbedContext): Tensor {
    const projected = timeProj.forward(labels, device);
    return this.forward(projected.dtype === dtype ? projected : cast(projected, dtype));
  }
}

class ClassProjection extends TimestepEmbedding implements ClassEmbedding {
  embed(labels: ClassLabels, context: EmbedContext): Tensor {
    return this.forward(vectors(labels, context));
  }
}

class ClassLinear extends Linear implements ClassEmbedding {
  embed(labels: ClassLabels, context: EmbedContext): Tensor {
    return this.forward(vectors(labels, context));
  }
}

class ClassIdentity extends Module implements ClassEmbedding {
  embed(labels: ClassLabels, context: EmbedContext): Tensor {
    return vectors(labels, context);
  }
}

function vectors(labels: ClassLabels, { dtype }: EmbedContext): Tensor {
  if (!(labels instanceof Tensor) || labels.shape.length !== 2 || labels.dtype === "int32")
    throw new TypeError(
      `classLabels: this model takes vectors, a floating tensor [batch, width], got ${shown(labels)}`,
    );
  return labels.dtype === dtype ? labels : cast(labels, dtype);
}

/**
 * The embedding of the labels, a row per image.
 * @throws TypeError if labels are given to a model that takes none, or the other way round
 */
export function embedClasses(
  model: string,
  embedding: ClassEmbedding | null,
  labels: ClassLabels | undefined,
  context: EmbedContext,
): Tensor | null {
  if (!embedding) {
    if (labels == null) return null;
    throw new TypeError(`${model}: classLabels were given, but the config has no class embedding`);
  }
  if (labels == null) throw new TypeError(`${model}: classLabels must be given, the config has a class embedding`);
  const rows = embedding.embed(labels, context);
  if (rows.shape[0] === context.batch) return rows;
  if (rows.shape[0] === 1) return repeatRows(rows, context.batch);
  throw new RangeError(`${model}: takes one class label or one per image (${context.batch}), got ${rows.shape[0]}`);
}
