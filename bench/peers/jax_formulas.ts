/** The ops by jax-js. Pictures are NCHW, which its convolutions take. */
import type { Array as JaxArray } from "@jax-js/jax";
import type { Jax } from "./jax.js";
import { backFrom, inputsOf, permute, shapedInputs, type Formula, type Problem } from "./problem.js";

export function formulas(jax: Jax, { shape, inputs }: Problem): Formula<JaxArray>[] {
  const { numpy: np, nn, lax } = jax;
  const silu = (y: JaxArray, wanted: boolean): JaxArray => (wanted ? nn.silu(y) : y);
  const linear = (x: JaxArray, w: JaxArray, bias?: JaxArray): JaxArray =>
    bias ? np.matmul(x, w).add(bias) : np.matmul(x, w);
  switch (shape.op) {
    case "matmul":
      return [{ name: "matmul", inputs: shapedInputs.matmul(shape, inputs), f: linear }];
    case "conv2d": {
      const { N, H, W, Cin, Cout, k, pad } = shape;
      const { x, w, bias } = inputsOf.conv2d(inputs);
      const conv: Formula<JaxArray> = {
        name: "conv",
        inputs: [
          [permute(x, [N, H * W, Cin], [0, 2, 1]), [N, Cin, H, W]],
          [permute(w, [k * k, Cin, Cout], [2, 1, 0]), [Cout, Cin, k, k]],
          [bias, [1, Cout, 1, 1]],
        ],
        f: (x, w, bias) => {
          const sides: [number, number] = [pad, pad];
          return lax.convGeneralDilated(x, w, [1, 1], [sides, sides]).add(bias);
        },
        back: (y) => permute(y, [N, Cout, H * W], [0, 2, 1]),
      };
      const pixels = N * H * W;
      const matmul: Formula<JaxArray> = {
        name: "matmul",
        inputs: [
          [x, [pixels, Cin]],
          [w, [Cin, Cout]],
          [bias, [Cout]],
        ],
        f: linear,
      };
      return k === 1 ? [conv, matmul] : [conv];
    }
    case "attention": {
      return [
        {
          name: "dotProductAttention",
          inputs: shapedInputs.attention(shape, inputs),
          f: (q, k, v) => nn.dotProductAttention(q, k, v),
        },
        {
          name: "matmul, softmax, matmul",
          inputs: shapedInputs.attentionByHeads(shape, inputs),
          f: (q, k, v) => {
            const scores = np.matmul(q.mul(1 / Math.sqrt(shape.D)), np.matrixTranspose(k));
            return np.matmul(nn.softmax(scores, -1), v);
          },
          back: (y) => backFrom.attentionByHeads(shape, y),
        },
      ];
    }
    case "groupnorm": {
      const { N, C, HW, eps: epsilon, silu: activated } = shape;
      return [
        {
          name: "standardize",
          inputs: shapedInputs.groupnorm(shape, inputs),
          f: (x, weight, bias) => {
            const y = nn.standardize(x, -1, { epsilon }).reshape([N, C, HW]);
            return silu(y.mul(weight).add(bias), activated);
          },
          back: (y) => backFrom.groupnorm(shape, y),
        },
      ];
    }
    case "layernorm": {
      const { eps: epsilon } = shape;
      return [
        {
          name: "standardize",
          inputs: shapedInputs.layernorm(shape, inputs),
          f: (x, weight, bias) => nn.standardize(x, -1, { epsilon }).mul(weight).add(bias),
        },
      ];
    }
  }
}
