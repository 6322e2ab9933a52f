import { describe, expect, test } from "vitest";
import { attention } from "../../src/tensor/ops/attention.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { matmul, type MatmulOptions } from "../../src/tensor/ops/matmul.js";
import type { Tile } from "../../src/tensor/ops/tiling.js";
import { concat } from "../../src/tensor/ops/shape.js";
import { requestDevice } from "../../src/tensor/device.js";
import { Plan } from "../../src/tensor/plan.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random } from "../cases/data.js";
import * as gpu from "../support/gpu.js";

const [TOKENS, WIDTH] = [40, 64];

/** A bit of a transformer: x + attention(x w, memo of the context) through several intermediate results. */
function work(w: Tensor, x: Tensor, context: Tensor, derived: { count: number }, how?: MatmulOptions): Tensor {
  const keys = context.memo(w, () => {
    derived.count++;
    return [matmul(context, w, how)];
  })[0];
  let h = x;
  for (let i = 0; i < 3; i++) {
    const q = matmul(h, w, { activation: "silu", ...how });
    h = attention(q.reshape([1, TOKENS, WIDTH]), keys, keys, { heads: 2 }).reshape([TOKENS, WIDTH]);
  }
  return linearCombination([
    [1, x],
    [0.5, h],
  ]);
}

async function withInputs(body: (make: (seed: number, shape: number[]) => Tensor) => Promise<void>): Promise<void> {
  await gpu.withTensors(async (make) =>
    body((seed, shape) => {
      const size = shape.reduce((a, b) => a * b);
      return make(new Random(seed).normal(size, { std: 0.3 }), shape, "float32");
    }),
  );
}

describe("Plan", () => {
  gpu.checkLeaks();

  const replays = (how?: MatmulOptions): Promise<void> =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const w = make(1, [WIDTH, WIDTH]);
      const xs = [2, 3, 4].map((seed) => make(seed, [TOKENS, WIDTH]));
      const contexts = [5, 6].map((seed) => make(seed, [1, 12, WIDTH]));
      const wanted: Float32Array[] = [];
      for (const context of contexts)
        for (const x of xs) wanted.push(await gpu.take(device.scope(() => work(w, x, context, { count: 0 }, how))));

      const derived = { count: 0 };
      const plan = new Plan(device, [xs[0], contexts[0]], (x, context) => work(w, x, context, derived, how), {
        hoisted: [1],
      });
      const got: Float32Array[] = [];
      for (const context of contexts)
        for (const x of xs) got.push((await plan.run([x, context]).data()) as Float32Array);
      expect(derived.count).toBe(1);
      plan.dispose();
      expect(got).toEqual(wanted);
    });

  test("replays give bit for bit what the ops give, with other inputs and other hoisted inputs", () => replays());
  test("also where operands go through textures, some in panels", async () => {
    const textures = "xw" as const;
    const panels = { by: "swap", lanes: 4, tileM: 2, tileN4: 1, step: 1, panels: true } as const;
    const { quadSwaps } = await gpu.testDevice();
    for (const tile of [{ tileM: 4, tileN4: 2 }, ...(quadSwaps ? [panels] : [])])
      await replays({ tile: { ...tile, textures } });
  });
  test("and where products are added up from slices", () => replays({ tile: { tileM: 4, tileN4: 2 }, slices: 3 }));

  test("replays allocate nothing and make no bind groups", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const w = make(1, [WIDTH, WIDTH]);
      const [x, context] = [make(2, [TOKENS, WIDTH]), make(3, [1, 12, WIDTH])];
      const plan = new Plan(device, [x, context], (a, b) => work(w, a, b, { count: 0 }), { hoisted: [1] });
      plan.run([x, context]);
      await device.synchronize();
      const { pipelines } = device.queue;
      const before = device.memoryUse;
      const made: unknown[] = [];
      const original = pipelines.makeBindGroup.bind(pipelines);
      pipelines.makeBindGroup = (...args) => (made.push(args), original(...args));
      for (let i = 0; i < 3; i++) plan.run([x, context]);
      await device.synchronize();
      pipelines.makeBindGroup = original;
      expect(made).toEqual([]);
      expect(device.memoryUse).toEqual(before);
      expect(plan.bytes).toBeLessThan(before.bytes);
      plan.dispose();
    }));

  test("blocks whose lives do not meet share memory", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const x = make(1, [256, 256]);
      const chain = (a: Tensor): Tensor => {
        let h = a;
        for (let i = 0; i < 20; i++) {
          const next = linearCombination([[0.9, h]]);
          if (h !== a) h.dispose();
          h = next;
        }
        return h;
      };
      const plan = new Plan(device, [x], chain);
      // Two results at a time, and the params.
      expect(plan.bytes).toBe(2 * x.bytes);
      plan.run([x]);
      await device.synchronize();
      plan.dispose();
    }));

  test("small ones lie side by side where a large one was, and are found there by ops, copies, textures and readers", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const [x, w] = [make(1, [256, 64]), make(2, [64, 64])];
      const halves = (a: Tensor): [behind: Tensor, product: Tensor] => {
        const large = linearCombination([[0.9, a]]);
        const [left, right] = [0, 32].map((first) => slice(large, 0, first, 32));
        large.dispose();
        const [first, behind] = [concat(left, left, 0), concat(right, right, 0)];
        for (const each of [left, right]) each.dispose();
        const tile = { tileM: 4, tileN4: 2, textures: "xw" } as const;
        const product = linearCombination([
          [1, matmul(behind, w, { tile })],
          [1, first],
        ]);
        return [behind, product];
      };
      for (const which of [0, 1]) {
        const plan = new Plan(device, [x], (a) => halves(a)[which]);
        const wanted = await gpu.take(device.scope(() => halves(x)[which]));
        expect(await plan.run([x]).data()).toEqual(wanted);
        expect(await gpu.take(plan.run([x], { copy: true }))).toEqual(wanted);
        if (which === 0) expect(plan.run([x]).block.offset).toBeGreaterThan(0);
        expect(plan.bytes).toBeLessThan(2 * x.bytes);
        await device.synchronize();
        plan.dispose();
      }
    }));

  test("an input may be rows of a table, and a result the caller's own", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const table = make(1, [6, 8]);
      const values = (await table.data()) as Float32Array;
      const rows = (first: number): { of: Tensor; first: number; count: number } => ({ of: table, first, count: 2 });
      const plan = new Plan(device, [rows(0)], (x) => linearCombination([[2, x]]));
      const results: Tensor[] = [];
      for (const first of [0, 2, 4, 4, 1]) results.push(plan.run([rows(first)], { copy: true }));
      for (const [i, first] of [0, 2, 4, 4, 1].entries())
        expect(await gpu.take(results[i])).toEqual(
          values.subarray(8 * first, 8 * first + 16).map((value) => 2 * value),
        );
      expect(() => plan.run([rows(5)])).toThrow(
        "Plan: rows 5 to 7 are no range of whole quads of Tensor(float32 [6, 8])",
      );
      expect(() => plan.run([{ of: table, first: 0, count: 3 }])).toThrow(
        "Plan: input 0 must be Tensor(float32 [2, 8]), got rows of Tensor(float32 [6, 8])",
      );
      plan.dispose();
    }));

  test("a copied result is not taken for what its memory held before", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const tile: Tile = { tileM: 4, tileN4: 2, textures: "xw" };
      const w = make(1, [WIDTH, WIDTH]);
      const xs = [2, 3, 4].map((seed) => make(seed, [TOKENS, WIDTH]));
      const wanted: Float32Array[] = [];
      for (const x of xs) wanted.push(await gpu.take(matmul(x, w, { tile })));
      const plan = new Plan(device, [xs[0]], (x) => linearCombination([[1, x]]));
      for (const [i, x] of xs.entries()) {
        const copy = plan.run([x], { copy: true });
        expect(await gpu.take(matmul(copy, w, { tile }))).toEqual(wanted[i]);
        copy.dispose(); // its memory is the next one's
      }
      plan.dispose();
    }));

  test("copies of weights that exceed the budget together share textures, and are made anew in each replay", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const size = 3200;
      const bytes = 4 * size * size;
      const ws = [1, 2, 3].map((seed) => make(seed, [size, size]));
      const tile: Tile = { tileM: 4, tileN4: 2, textures: "w" };
      const all = (x: Tensor): Tensor => ws.reduce((y, w) => matmul(y, w, { tile }), x);
      const xs = [4, 5, 6].map((seed) => make(seed, [4, size]));
      const wanted: Float32Array[] = [];
      for (const x of xs) wanted.push(await gpu.take(device.scope(() => all(x))));
      expect(device.memoryUse.textureBytes).toBeGreaterThanOrEqual(bytes);
      const plan = new Plan(device, [xs[0]], all);
      await device.flush();
      // Those of single ops are gone.
      const { textureBytes } = device.memoryUse;
      expect(textureBytes).toBeGreaterThanOrEqual(bytes);
      expect(textureBytes).toBeLessThan(1.1 * bytes);
      for (const [i, x] of xs.entries()) expect(await plan.run([x]).data()).toEqual(wanted[i]);
      plan.dispose();
      await device.flush();
      expect(device.memoryUse.textureBytes).toBe(0);
    }));

  test("a recording that fails leaves no textures behind", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const x = make(1, [WIDTH, WIDTH]);
      const before = device.memoryUse.textureBytes;
      const failing = (a: Tensor): Tensor => {
        const y = matmul(a, x, { tile: { tileM: 4, tileN4: 2, textures: "xw" } });
        expect(device.memoryUse.textureBytes, "none before its end").toBe(before);
        return linearCombination([
          [1, y],
          [1, Tensor.from(new Float32Array(y.size), y.shape, { device })],
        ]);
      };
      expect(Plan.attempt(device, [x], failing)).toBeNull();
      await device.flush();
      expect(device.memoryUse.textureBytes).toBe(before);
    }));

  test("one of a lost device is disposed of without a word, so that callers hear why their call failed", async () => {
    const device = await requestDevice();
    const x = Tensor.from(new Float32Array(16), [4, 4], { device });
    const plan = new Plan(device, [x], (a) => linearCombination([[2, a]]));
    device.destroy();
    plan.dispose();
    x.dispose();
  });

  test("numbers uploaded while recording, inputs of another shape, and a second recording are errors", () =>
    withInputs(async (make) => {
      const device = await gpu.testDevice();
      const x = make(1, [4, 4]);
      expect(
        () =>
          new Plan(device, [x], (a) =>
            linearCombination([
              [1, a],
              [1, Tensor.from([1, 2, 3, 4], [4, 1], { device })],
            ]),
          ),
      ).toThrow("numbers were uploaded while recording");
      expect(() => new Plan(device, [x], () => new Plan(device, [x], (a) => a) as never)).toThrow("recorded already");
      const plan = new Plan(device, [x], (a) => linearCombination([[2, a]]));
      const other = make(2, [2, 8]);
      expect(() => plan.run([other])).toThrow(
        "Plan: input 0 must be Tensor(float32 [4, 4]), got Tensor(float32 [2, 8])",
      );
      plan.dispose();
    }));
});
