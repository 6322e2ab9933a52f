import { describe, expect, test } from "vitest";
import { Linear } from "../../src/nn/layers.js";
import { LinearStack } from "../../src/nn/linear_stack.js";
import { Module } from "../../src/nn/module.js";
import { loadWeights } from "../../src/nn/weights/weights.js";
import { Columns, placeOf } from "../../src/tensor/columns.js";
import { cast, slice } from "../../src/tensor/ops/copy.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random, rounded } from "../cases/data.js";
import * as gpu from "../support/gpu.js";
import { savedBytes } from "../support/models.js";
import { writeSafetensors, type RawTensor } from "../support/repositories.js";

const INPUTS = 12;

/** Layers of some widths under the keys "layers.0.weight" …, side by side or each by itself. */
class Layers extends Module {
  readonly layers: readonly Linear[];
  readonly stack: { of: LinearStack } | null;

  constructor(widths: readonly number[], bias: boolean, stacked: boolean) {
    super();
    this.layers = widths.map((width) => new Linear(INPUTS, width, { bias }));
    this.stack = stacked ? { of: new LinearStack(this.layers) } : null;
  }
}

/** A safetensors file that fills them. */
function fileOf(model: Layers): { tensors: Map<string, RawTensor>; bytes: Uint8Array<ArrayBuffer> } {
  const tensors = new Map<string, RawTensor>();
  for (const [key, { shape }] of model.parameters()) {
    const values = new Random(key.length + shape[0]).normal(shape.reduce((a, b) => a * b));
    tensors.set(key, { dtype: "F32", shape: [...shape], bytes: new Uint8Array(values.buffer) });
  }
  return { tensors, bytes: writeSafetensors(tensors) };
}

async function load(model: Layers, bytes: Uint8Array<ArrayBuffer>, dtype: "float32" | "float16"): Promise<void> {
  const read = async (from: number, to: number): Promise<Uint8Array<ArrayBuffer>> => bytes.slice(from, to);
  const file = { path: "made", size: bytes.length, read };
  await loadWeights("Layers", model, [file], { device: await gpu.testDevice(), dtype });
}

describe("LinearStack", () => {
  gpu.checkLeaks();

  const CASES: [widths: number[], products: number][] = [
    [[8, 8, 8], 1],
    [[4, 20, 12], 1],
    [[8, 6, 8, 4], 3], // 6 is no quads, and stays by itself
    [[5, 7], 2],
  ];
  for (const [widths, products] of CASES)
    for (const bias of [true, false])
      for (const dtype of gpu.DTYPES)
        test(`widths ${widths.join(", ")}, ${bias ? "" : "no "}bias, ${dtype}: the numbers, and the bytes, of the layers by themselves`, async () => {
          const [stacked, single] = [true, false].map((side) => new Layers(widths, bias, side));
          expect([...stacked.parameters()].map(([key, { shape }]) => [key, shape])).toEqual(
            [...single.parameters()].map(([key, { shape }]) => [key, shape]),
          );
          const { tensors, bytes } = fileOf(single);
          await load(stacked, bytes, dtype);
          await load(single, bytes, dtype);
          await gpu.withTensors(async (make) => {
            const x = make(rounded(new Random(3).normal(5 * INPUTS), dtype), [5, INPUTS], dtype);
            // Tiles depend on widths, and with them the order of sums; the plain kernel has one.
            const plainly = <T>(work: () => Promise<T>): Promise<T> => gpu.pretending({ plainKernels: true }, work);
            const made = await plainly(async () => stacked.stack!.of.products(x));
            expect(made.length).toBe(products);
            const parts = stacked.stack!.of.split(made);
            for (const [i, layer] of single.layers.entries()) {
              const part = parts[i];
              const { tensor, start } = placeOf(part);
              const dense = part instanceof Tensor ? cast(part, dtype) : slice(tensor, 1, start, widths[i]);
              const own = await plainly(async () => layer.forward(x));
              expect(await gpu.take(dense)).toEqual(await gpu.take(own));
            }
            for (const tensor of made) tensor.dispose();
          });
          if (dtype === "float32")
            for (const [key, parameter] of stacked.parameters())
              expect(await savedBytes(parameter), key).toEqual(tensors.get(key)!.bytes);
          const device = await gpu.testDevice();
          for (const model of [stacked, single]) for (const [, parameter] of model.parameters()) parameter.dispose();
          device.trim();
        });

  test("no memory beyond that of the layers", async () => {
    const device = await gpu.testDevice();
    const used: number[] = [];
    for (const stacked of [false, true]) {
      const model = new Layers([64, 64, 64], true, stacked);
      const { bytes } = fileOf(model);
      device.trim();
      await device.synchronize();
      const before = device.memoryUse.bytes;
      await load(model, bytes, "float32");
      device.trim();
      await device.synchronize();
      used.push(device.memoryUse.bytes - before);
      for (const [, parameter] of model.parameters()) parameter.dispose();
    }
    expect(used[1]).toBe(used[0]);
  });

  test("weights stay within one binding", () => {
    const layers = Array.from({ length: 5 }, () => new Linear(4096, 4096));
    new LinearStack(layers);
    const holders = layers.map(({ weight }) => weight.holder);
    expect(new Set(holders).size).toBe(3);
    expect([holders[0] === holders[1], holders[1] === holders[2], holders[4] === layers[4].weight]).toEqual([
      true,
      false,
      true,
    ]);
  });

  test("errors say what was expected and what was got", async () => {
    expect(() => new LinearStack([new Linear(8, 4), new Linear(12, 4)])).toThrow("got [4, 12] beside [4, 8]");
    expect(() => new LinearStack([new Linear(8, 4), new Linear(8, 4, { bias: false })])).toThrow(
      "all with a bias or none",
    );
    const layer = new Linear(8, 4);
    new LinearStack([layer, new Linear(8, 4)]);
    expect(() => layer.weight.value).toThrow("has no tensor of its own");
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(24), [2, 12], "float32");
      expect(() => new Columns(x, 2, 4)).toThrow(
        "Columns: 2 to 6 are no range of whole quads of Tensor(float32 [2, 12])",
      );
      expect(() => new Columns(x, 8, 8)).toThrow(/Columns: 8 to 16/);
      expect(new Columns(x, 4, 8).shape).toEqual([2, 8]);
    });
  });
});
