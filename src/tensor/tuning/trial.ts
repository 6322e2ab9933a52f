/** A problem with numbers of its own, to be computed in different ways. */
import type { Device } from "../device.js";
import { float32ToFloat16, product, type DType } from "../dtype.js";
import { attention } from "../ops/attention.js";
import { conv2d } from "../ops/conv2d.js";
import { matmul } from "../ops/matmul.js";
import { PLAIN } from "../ops/tiling.js";
import { PRNGKey, uniform } from "../random_jax.js";
import { Tensor } from "../tensor.js";
import type { AttentionProblem, Conv2dProblem, MatmulProblem, Problem, Way } from "./problem.js";

/** Numbers that are made; a tensor repeats them. A prime, so that rows and tiles differ. */
const PERIOD = 65_521;

/** Runs a problem once, on its activations, and gives its result. */
type Run = (way: Way, ...inputs: Tensor[]) => Tensor;

export class Trial {
  /** Its activations, which change from call to call; all else are weights, of which kernels may keep copies. */
  readonly inputs: readonly Tensor[];
  readonly #made: Tensor[] = [];
  readonly #run: Run;

  constructor(
    private readonly device: Device,
    private readonly problem: Problem,
  ) {
    try {
      this.inputs = this.#shapes().map((shape) => this.#tensor(shape));
      this.#run = this.#prepare();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Records the work in one way; of none (`{}`), as the rules say, whatever was kept before. */
  run(way: Way, inputs = this.inputs): Tensor {
    const { tunings } = this.device;
    const { ignored } = tunings;
    tunings.ignored = true;
    try {
      return this.device.scope(() => this.#run(way, ...inputs));
    } finally {
      tunings.ignored = ignored;
    }
  }

  /** By the reference kernel, which is slow. */
  runPlain(): Tensor {
    return this.run(this.problem.op === "attention" ? { by: "plain" } : { tile: PLAIN });
  }

  dispose(): void {
    for (const tensor of this.#made) tensor.dispose();
  }

  /** Of the activations. */
  #shapes(): (readonly number[])[] {
    const { problem } = this;
    if (problem.op === "matmul") return [[problem.m, problem.k]];
    if (problem.op === "conv2d") return [problem.x];
    const { batch, heads, queries, keys, headSize } = problem;
    return [queries, keys, keys].map((tokens) => [batch, tokens, heads * headSize]);
  }

  #prepare(): Run {
    switch (this.problem.op) {
      case "matmul":
        return this.#matmul(this.problem);
      case "conv2d":
        return this.#conv2d(this.problem);
      case "attention":
        return this.#attention(this.problem);
    }
  }

  #matmul({ m, n, k, gated, finish }: MatmulProblem): Run {
    const w = this.#tensor([k, n], k);
    const bias = finish.bias ? this.#tensor([n]) : null;
    const residual = finish.residual ? this.#tensor([m, n]) : undefined;
    const { activation } = finish;
    return (way, x) => matmul(x, w, { bias, residual, activation, gated, ...way });
  }

  #conv2d({ x: [batch], w: kernel, out, stride, edges, upsample, shortcut, finish }: Conv2dProblem): Run {
    const cout = kernel[3];
    const terms = product(kernel.slice(0, 3));
    const [w, bias] = [this.#tensor(kernel, terms), this.#tensor([cout])];
    const channels = shortcut.reduce((sum, each) => sum + each, 0);
    const options = {
      stride,
      padding: edges,
      upsample,
      activation: finish.activation,
      shift: finish.shift ? this.#tensor([batch, cout]) : undefined,
      residual: finish.residual ? this.#tensor([batch, ...out, cout]) : undefined,
      shortcut:
        shortcut.length > 0
          ? {
              sources: shortcut.map((each) => this.#tensor([batch, ...out, each])) as [Tensor] | [Tensor, Tensor],
              weight: this.#tensor([1, 1, channels, cout], channels),
              bias: this.#tensor([cout]),
            }
          : undefined,
    };
    return (way, x) => conv2d(x, w, bias, { ...options, ...way });
  }

  #attention({ heads, causal }: AttentionProblem): Run {
    return (way, q, k, v) => attention(q, k, v, { heads, causal, ...way });
  }

  /** @param terms of the sums that these are weights of: with them sums stay as large as the other operand */
  #tensor(shape: readonly number[], terms = 1): Tensor {
    const { device } = this;
    const { dtype } = this.problem;
    const tensor = Tensor.empty(device, shape, dtype);
    this.#made.push(tensor);
    device.queue.push({
      kind: "write",
      block: tensor.block,
      offset: 0,
      data: numbers(tensor.bytes, dtype, { seed: this.#made.length, scale: 2 / Math.sqrt(terms) }),
    });
    return tensor;
  }
}

/** Uniform numbers up to `scale`, of either sign. */
function numbers(bytes: number, dtype: DType, { seed, scale }: { seed: number; scale: number }): ArrayBufferView {
  const some = uniform(PRNGKey(seed), [PERIOD]).map((value) => scale * (2 * value - 1));
  const stored = dtype === "float16" ? float32ToFloat16(some) : some;
  const period = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += period.length) all.set(period.subarray(0, bytes - at), at);
  return all;
}
