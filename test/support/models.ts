/** Comparing models with what diffusers computed. */
import { expect } from "vitest";
import type { Module, Parameter } from "../../src/nn/module.js";
import { tensorBytes } from "../../src/nn/weights/save_weights.js";
import type { Device } from "../../src/tensor/device.js";
import { toNCHW } from "../../src/tensor/ops/copy.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { Tensor } from "../../src/tensor/tensor.js";
import type { Golden } from "./goldens.js";

/** Largest difference over the golden's standard deviation. Float32 sums in another order stay below 1e-4 (the issue's
 *  bound); float16 storage rounds every activation to 11 bits, 2e-2. */
export const TOLERANCE = { float32: 1e-4, float16: 2e-2 } as const;

export function relativeError(actual: ArrayLike<number>, golden: Golden): number {
  const expected = golden.data;
  expect(actual.length).toBe(expected.length);
  const n = expected.length;
  let mean = 0;
  for (const x of expected) mean += x / n;
  let square = 0;
  let worst = 0;
  for (let i = 0; i < n; i++) {
    square += (expected[i] - mean) ** 2 / n;
    const difference = Math.abs(actual[i] - expected[i]);
    worst = difference <= worst ? worst : difference; // NaN counts as worst
  }
  return worst / Math.sqrt(square);
}

export async function expectMatches(
  actual: Tensor,
  golden: Golden | undefined,
  name: string,
  bound: number,
): Promise<void> {
  if (!golden) throw new Error(`no golden ${name}`);
  expect(`${name} [${actual.shape.join(", ")}]`).toBe(`${name} [${golden.shape.join(", ")}]`);
  const error = relativeError(await actual.data(), golden);
  if (!(error <= bound))
    throw new Error(
      `${name}: differs by ${error.toExponential(2)} x the golden's standard deviation, allowed ${bound}`,
    );
}

/** What a weight is saved as in float32. */
export async function savedBytes(parameter: Parameter): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const piece of tensorBytes(parameter, "float32")) pieces.push(piece);
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Keeps a copy of what each submodule's forward() returns on its first call, by module path. */
export function recordOutputs(model: Module, wanted: (path: string) => boolean): Map<string, Tensor> {
  const outputs = new Map<string, Tensor>();
  for (const [path, module] of model.modules()) {
    const target = module as Module & { forward?: (...args: unknown[]) => unknown };
    const original = target.forward?.bind(target);
    if (!original || !wanted(path)) continue;
    const recording = (...args: unknown[]): unknown => {
      const result = original(...args);
      // Blocks of UNets, and embeddings of depth estimators, return more than the next block's input.
      const { hidden, tokens } = (result ?? {}) as { hidden?: unknown; tokens?: unknown };
      const output = result instanceof Tensor ? result : (hidden ?? tokens);
      if (output instanceof Tensor && !outputs.has(path))
        outputs.set(path, output.device.keep(linearCombination([[1, output]])));
      return result;
    };
    Object.defineProperty(target, "forward", { value: recording, enumerable: false });
  }
  return outputs;
}

/** Compares recorded NHWC or token outputs with the goldens' `mid.<path>`; returns how many there were. */
export async function expectIntermediates(
  outputs: Map<string, Tensor>,
  goldens: Map<string, Golden>,
  bound: number,
): Promise<number> {
  for (const [path, output] of outputs) {
    const value = output.shape.length === 4 ? toNCHW(output) : output;
    await expectMatches(value, goldens.get(`mid.${path}`), path, bound);
    if (value !== output) value.dispose();
    output.dispose();
  }
  return outputs.size;
}

/** @param device by default the one that loaders use */
export const asTensor = (goldens: Map<string, Golden>, name: string, device?: Device): Tensor => {
  const golden = goldens.get(name);
  if (!golden) throw new Error(`no golden ${name}`);
  return Tensor.from(golden.data, golden.shape, { device });
};
