/** Pictures to tokens: DPTViTEmbeddings and DPTViTHybridEmbeddings of transformers' modeling_dpt.py. */
import { bilinear } from "../../tensor/ops/bilinear.js";
import { repeatRows, slice } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import { Conv2d } from "../layers.js";
import { Module, Parameter } from "../module.js";
import { BitBackbone } from "./bit_backbone.js";
import type { DPTConfig } from "./dpt_config.js";

/** Against configs that are damaged or made to do damage; models have some hundreds. */
const MAX_PATCHES = 1 << 16;

/** What the transformer and the neck take. */
export interface Embedded {
  /** [batch, 1 + patches, hidden_size], the class first. */
  tokens: Tensor;
  /** Of a hybrid: the first two feature maps, NHWC. */
  maps: readonly Tensor[];
}

class DPTViTPatchEmbeddings extends Module {
  readonly projection: Conv2d;

  constructor({ num_channels, hidden_size, patch_size }: DPTConfig) {
    super();
    this.projection = new Conv2d(num_channels, hidden_size, { kernel: patch_size, stride: patch_size, padding: 0 });
  }
}

/** Tokens of patches, or, in a hybrid, of the backbone's last feature map. */
export class DPTEmbeddings extends Module {
  readonly cls_token: Parameter;
  readonly position_embeddings: Parameter;
  readonly patch_embeddings: DPTViTPatchEmbeddings | null;
  readonly backbone: BitBackbone | null;
  readonly projection: Conv2d | null;
  readonly #side: number;

  /** @throws TypeError naming a key of the config */
  constructor(name: string, config: DPTConfig) {
    super();
    const { hidden_size: width, image_size, patch_size, backbone_config: backbone } = config;
    const side = Math.floor(image_size / patch_size);
    if (side === 0 || side ** 2 > MAX_PATCHES)
      throw new TypeError(
        `${name}: config image_size = ${image_size} and patch_size = ${patch_size} make ${side ** 2} patches, not 1 to ${MAX_PATCHES}`,
      );
    this.#side = side;
    this.cls_token = new Parameter([1, 1, width]);
    this.position_embeddings = new Parameter([1, side ** 2 + 1, width]);
    this.patch_embeddings = backbone ? null : new DPTViTPatchEmbeddings(config);
    this.backbone = backbone && new BitBackbone(`${name}, backbone_config`, backbone);
    this.projection = backbone && new Conv2d(lastOfThree(name, config), width, { kernel: 1 });
  }

  /** @param x [batch, height, width, channels] @throws RangeError where patches are not as many along each side */
  forward(x: Tensor): Embedded {
    return x.device.scope(() => {
      const maps = this.backbone?.forward(x) ?? [];
      const patches = this.projection
        ? this.projection.forward(maps.at(-1)!)
        : this.patch_embeddings!.projection.forward(x);
      const [batch, height, width, channels] = patches.shape;
      if (height !== width || (this.backbone && height !== this.#side))
        throw new RangeError(`DPT: takes pictures of as many patches along each side, got ${width}x${height}`);
      const first = add(this.cls_token.value, slice(this.position_embeddings.value, 1, 0, 1));
      const places = repeatRows(this.#places(height).reshape([1, height * width * channels]), batch);
      const tokens = add(patches, places.reshape(patches.shape)).reshape([batch, height * width, channels]);
      const classes = repeatRows(first.reshape([1, channels]), batch).reshape([batch, 1, channels]);
      return { tokens: concat(classes, tokens, 1), maps: maps.slice(0, 2) };
    });
  }

  /** Of so many patches along each side. */
  #places(side: number): Tensor {
    const all = this.position_embeddings.value;
    const own = this.#side;
    const grid = slice(all, 1, 1, own ** 2).reshape([1, own, own, all.shape[2]]);
    return side === own ? grid : bilinear(grid, [side, side]);
  }
}

/** The width of a hybrid's last feature map. */
function lastOfThree(name: string, { backbone_config: backbone, backbone_featmap_shape: shape }: DPTConfig): number {
  const widths = BitBackbone.widths(`${name}, backbone_config`, backbone!);
  if (widths.length !== 3)
    throw new TypeError(`${name}: config backbone_config must have 3 out_features, got ${widths.length}`);
  if (shape?.[1] !== widths[2])
    throw new TypeError(
      `${name}: config backbone_featmap_shape must have the backbone's ${widths[2]} channels, got [${shape?.join(", ") ?? "none"}]`,
    );
  return widths[2];
}
