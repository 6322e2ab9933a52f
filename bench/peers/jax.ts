/** jax-js: every op as one jitted function, so that it can fuse. Pictures are NCHW, which its convolutions take. */
import type { Array as JaxArray } from "@jax-js/jax";
import type { Library, Way } from "./library.js";
import { inputsOf, permute, shapedInputs, type Problem, type Shaped } from "./problem.js";

type Jax = typeof import("@jax-js/jax");

export async function openJax(): Promise<Library> {
  const jax = await import("@jax-js/jax");
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("jax-js finds no WebGPU");
  jax.defaultDevice("webgpu");
  const ways = async (problem: Problem): Promise<Way[]> => formulas(jax, problem).map((formula) => wayOf(jax, formula));
  const nothing = (): void => undefined; // it submits each kernel at once
  return { name: "jax-js", version: "", device: jax.getWebGPUDevice(), ways, flush: nothing, close: nothing };
}

interface Formula {
  name: string;
  inputs: Shaped[];
  f: (...inputs: JaxArray[]) => JaxArray;
  /** From its layout to ours. */
  back?: (y: Float32Array) => Float32Array;
}

function wayOf(jax: Jax, { name, inputs, f, back = (y) => y }: Formula): Way {
  const arrays = inputs.map(([values, shape]) => jax.numpy.array(values, { shape: [...shape] }));
  const jitted = jax.jit(f);
  // jax-js moves its arguments; `ref` keeps them.
  const call = (): JaxArray => jitted(...arrays.map((array) => array.ref));
  return {
    name,
    // data() consumes the array
    result: async () => back((await call().data()) as Float32Array),
    // jax-js is lazy: this submits, and lets go of the array
    run: () => void call().gpuBufferSync(),
    dispose() {
      for (const array of arrays) array.dispose();
      jitted.dispose();
    },
  };
}

function formulas(jax: Jax, { shape, inputs }: Problem): Formula[] {
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
      const conv: Formula = {
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
      const matmul: Formula = {
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
      const { causal: isCausal } = shape;
      return [
        {
          name: "dotProductAttention",
          inputs: shapedInputs.attention(shape, inputs),
          f: (q, k, v) => nn.dotProductAttention(q, k, v, { isCausal }),
        },
      ];
    }
    case "groupnorm": {
      const { N, C, HW, groups, eps: epsilon, silu: activated } = shape;
      const { x, weight, bias } = inputsOf.norm(inputs);
      return [
        {
          name: "standardize",
          inputs: [
            [permute(x, [N, HW, C], [0, 2, 1]), [N, groups, (C / groups) * HW]],
            [weight, [C, 1]],
            [bias, [C, 1]],
          ],
          f: (x, weight, bias) => {
            const y = nn.standardize(x, -1, { epsilon }).reshape([N, C, HW]);
            return silu(y.mul(weight).add(bias), activated);
          },
          back: (y) => permute(y, [N, C, HW], [0, 2, 1]),
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
