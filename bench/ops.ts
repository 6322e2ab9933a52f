/** Which benchmark measures a traced op. */
import { attentionBench } from "./attention.bench.js";
import type { BenchCase } from "./bench_case.js";
import { conv2dBench } from "./conv2d.bench.js";
import { activationBench, addBench, gegluBench } from "./elementwise.bench.js";
import { groupNormBench } from "./group_norm.bench.js";
import { layerNormBench } from "./layer_norm.bench.js";
import { matmulBench } from "./matmul.bench.js";
import { concatBench, embeddingBench, upsampleBench } from "./movement.bench.js";
import type { Shape } from "./shapes.js";

/** The benchmark of a shape; null where the library has no such op because it always fuses it. */
export function benchOf(shape: Shape): BenchCase | null {
  switch (shape.op) {
    case "matmul":
      return matmulBench(shape);
    case "conv2d":
      return conv2dBench(shape);
    case "attention":
      return attentionBench(shape);
    case "groupnorm":
      return groupNormBench(shape);
    case "layernorm":
      return layerNormBench(shape);
    case "geglu":
      return gegluBench(shape);
    case "silu":
    case "quick_gelu":
      return activationBench(shape);
    case "add":
      // With broadcast: the time embedding, in the convolution's epilogue, and the causal mask, in attention.
      return shape.broadcast ? null : addBench(shape);
    case "concat_channels":
      return concatBench(shape);
    case "upsample_nearest2x":
      return upsampleBench(shape);
    case "embedding":
      return embeddingBench(shape);
  }
}
