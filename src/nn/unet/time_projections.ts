/** The layers that take the time embedding to the blocks of a network: one product for all of them. */
import type { Operand } from "../../tensor/columns.js";
import type { Tensor } from "../../tensor/tensor.js";
import { activate, type Activation } from "../activations.js";
import type { Linear } from "../layers.js";
import { LinearStack } from "../linear_stack.js";
import type { Module } from "../module.js";
import { ResnetBlock2D } from "../resnet.js";
import { AdaGroupNorm } from "./ada_group_norm.js";

/** Layers of one input: the embedding, or (nearly always) activation(embedding). */
interface Group {
  raw: boolean;
  layers: readonly Linear[];
  stack: LinearStack;
}

export class TimeProjections {
  readonly #groups: readonly Group[];
  readonly #activation: Activation;

  /** @param network whose layers are complete; they lose their own tensors to stacks */
  constructor(network: Module, activation: Activation) {
    this.#activation = activation;
    const found = [...network.modules()].flatMap(([, module]) => {
      if (module instanceof AdaGroupNorm) return [{ layer: module.linear, raw: true }];
      if (!(module instanceof ResnetBlock2D) || !module.time_emb_proj) return [];
      return [{ layer: module.time_emb_proj, raw: module.skipTimeAct }];
    });
    this.#groups = [false, true].flatMap((raw) => {
      const layers = found.filter((each) => each.raw === raw).map(({ layer }) => layer);
      return layers.length > 0 ? [{ raw, layers, stack: new LinearStack(layers) }] : [];
    });
  }

  /** @param embedding [rows, width] @returns tensors of as many rows, for `split` */
  products(embedding: Tensor): Tensor[] {
    return embedding.device.scope(() =>
      this.#groups.flatMap(({ raw, stack }) => stack.products(raw ? embedding : activate(embedding, this.#activation))),
    );
  }

  /** What each layer gives, in the tensors of products(). */
  split(products: readonly Tensor[]): ReadonlyMap<Linear, Operand> {
    let first = 0;
    return new Map(
      this.#groups.flatMap(({ layers, stack }) => {
        const own = products.slice(first, (first += stack.count));
        return stack.split(own).map((part, i) => [layers[i], part] as const);
      }),
    );
  }
}
