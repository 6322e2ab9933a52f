import { describe, expect, test } from "vitest";
import type { Operand } from "../../src/tensor/columns.js";
import { conv2d } from "../../src/tensor/ops/conv2d.js";
import { phaseWeights } from "../../src/tensor/ops/phase_weights.js";
import { PLAIN, type Tile } from "../../src/tensor/ops/tiling.js";
import { SMALL_WORKGROUP_TILE } from "../../src/tensor/ops/tiling_hardware.js";
import { Plan } from "../../src/tensor/plan.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import {
  conv2dCases,
  conv2dData,
  conv2dReference,
  phaseCases,
  phasesReference,
  shortcutCases,
  sliceCases,
  type Conv2dCase,
} from "../cases/conv2d.js";
import { Random, type FloatType } from "../cases/data.js";
import { sideBySide } from "../support/columns.js";
import { run, termsOf, tolerance } from "../support/conv2d.js";
import * as gpu from "../support/gpu.js";

const TILES: Tile[] = [8, 4, 2, 1].flatMap((tileM) => [2, 1].map((tileN4) => ({ tileM, tileN4 })));
const tilesFor = ({ cin, cout }: Conv2dCase): Tile[] =>
  TILES.filter(({ tileN4 }) => cout % (4 * tileN4) === 0 && cin % 4 === 0);

/** One case visits every tile, small ones the reference kernel too: each pipeline takes a CPU adapter up to a second. */
const visited = (item: Conv2dCase, dtype: FloatType): (Tile | undefined)[] => {
  if (item.flops >= 1e6) return [undefined];
  const everyTile = item.name.startsWith("rows that fill no tile") && dtype === "float32";
  return [undefined, PLAIN, ...(everyTile ? tilesFor(item) : [])];
};

async function check(item: Conv2dCase, dtype: FloatType, tiles: (Tile | undefined)[], most: number): Promise<void> {
  const data = gpu.roundAll(conv2dData(item), dtype);
  const size = item.batch * item.outHeight * item.outWidth * item.cout;
  const wanted = gpu.want(conv2dReference(item, data), size, most);
  for (const tile of tiles) {
    const name = tile ? `tile ${JSON.stringify(tile)}` : "default tile";
    gpu.expectClose(
      name,
      await run(item, data, dtype, { tile, phases: false }),
      wanted,
      tolerance(dtype, termsOf(item)),
    );
  }
}

/** float32 against the plain convolution; float16 with the sums of weights as float16 holds them, at the same tolerance. */
async function checkPhases(item: Conv2dCase, dtype: FloatType, tiles: readonly (Tile | undefined)[]): Promise<void> {
  const data = gpu.roundAll(conv2dData(item), dtype);
  const size = item.batch * item.outHeight * item.outWidth * item.cout;
  const reference = dtype === "float32" ? conv2dReference(item, data) : phasesReference(item, data, dtype);
  const wanted = gpu.want(reference, size, 2048);
  for (const tile of tiles) {
    const got = await run(item, data, dtype, { tile, phases: true });
    gpu.expectClose(`phases, ${JSON.stringify(tile ?? "default tile")}`, got, wanted, tolerance(dtype, termsOf(item)));
  }
}

const without = { shift: undefined, residual: undefined, activation: undefined };

describe("conv2d", () => {
  gpu.checkLeaks();

  for (const dtype of gpu.DTYPES)
    test(`every kind of tile gives what the plain kernel gives, ${dtype}`, async () => {
      const item = conv2dCases.find(({ cin, cout, shift }) => cin % 16 === 0 && cout % 8 === 0 && shift) as Conv2dCase;
      await check(item, dtype, [PLAIN, ...(await gpu.kindsOfTile(dtype, item.cout))], 512);
    });

  for (const dtype of gpu.DTYPES)
    test(`the shift is read in place from columns, and one row serves all images, ${dtype}`, async () => {
      const item = conv2dCases.find(({ batch, cout, shift }) => batch > 1 && cout % 8 === 0 && shift) as Conv2dCase;
      const { batch, height, width, cin, cout, kernel, stride, padding, upsample } = item;
      const data = gpu.roundAll(conv2dData(item), dtype);
      const first = data.shift!.subarray(0, cout);
      const same = Float32Array.from({ length: batch * cout }, (_, i) => first[i % cout]);
      await gpu.withTensors(async (make) => {
        const x = make(data.x, [batch, height, width, cin], dtype);
        const w = make(data.w, [...kernel, cin, cout], dtype);
        const bias = make(data.bias, [cout], dtype);
        for (const tile of [PLAIN, undefined]) {
          const shifted = (shift: Operand): Promise<Float32Array> =>
            gpu.take(conv2d(x, w, bias, { stride, padding, upsample, tile, shift }));
          const wanted = await shifted(make(data.shift!, [batch, cout], dtype));
          const [, inPlace] = sideBySide([data.shift!, data.shift!], [batch, cout], dtype, make);
          expect(await shifted(inPlace)).toEqual(wanted);
          const [, oneRow] = sideBySide([first, first], [1, cout], dtype, make);
          const repeated = await shifted(make(same, [batch, cout], dtype));
          expect(await shifted(oneRow)).toEqual(repeated);
          expect(repeated).not.toEqual(wanted);
        }
      });
    });

  for (const item of shortcutCases)
    for (const dtype of gpu.DTYPES)
      test(`with a shortcut, ${item.name} ${dtype}`, async () => {
        // Each pipeline takes a CPU adapter seconds: a case of each type visits every kind of tile.
        const visits = item.name.startsWith(dtype === "float32" ? "quads of two" : "quads of one");
        await check(item, dtype, [undefined, PLAIN, ...(visits ? await gpu.kindsOfTile(dtype, item.cout) : [])], 2048);
      });

  for (const item of sliceCases)
    for (const dtype of gpu.DTYPES)
      test(`slices of the channels are added up, ${item.name} ${dtype}`, async () => {
        const data = gpu.roundAll(conv2dData(item), dtype);
        const wanted = gpu.want(conv2dReference(item, data), item.batch * item.outHeight * item.outWidth * item.cout);
        // Each pipeline takes a CPU adapter seconds: one case visits every kind of tile, the others those that GPUs get slices for.
        const visits = item.shortcut === undefined && dtype === "float32";
        const kinds = await gpu.kindsOfTile(dtype, item.cout);
        const shared = [kinds.find(({ by }) => by === "workgroup")!, ...kinds.filter(({ by }) => by === "matrix")];
        for (const tile of visits ? kinds : shared)
          for (const slices of [2, 100]) {
            const got = await run(item, data, dtype, { tile, slices });
            const name = `${slices} slices, ${JSON.stringify(tile)}`;
            gpu.expectClose(name, got, wanted, tolerance(dtype, termsOf(item)));
          }
      });

  for (const item of conv2dCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, () => check(item, dtype, visited(item, dtype), item.flops < 2e6 ? Infinity : 512));

  for (const dtype of gpu.DTYPES)
    for (const cout of [1, 2, 3, 6])
      test(`${cout} channels are filled up to whole quads for the tiled kernels, ${dtype}`, async () => {
        const [height, width, cin] = [5, 7, 16];
        const random = new Random(cout);
        const [x, w, bias] = [height * width * cin, 9 * cin * cout, cout].map((n) => random.normal(n));
        await gpu.withTensors(async (make) => {
          const made = [make(x, [1, height, width, cin], dtype), make(w, [3, 3, cin, cout], dtype)] as const;
          const work = (tile?: Tile): Tensor =>
            conv2d(...made, make(bias, [cout], dtype), { padding: 1, activation: "silu", tile });
          const plain = await gpu.take(work(PLAIN));
          const wanted = gpu.want((i) => plain[i], plain.length);
          let filled: Tensor | undefined;
          const kernels = await gpu.kernelsRun(() => void (filled = work()));
          expect(kernels).toEqual(["whole_quads", "whole_quads", "conv2d", "copy"]);
          expect(filled!.shape).toEqual([1, height, width, cout]);
          gpu.expectClose("filled", await gpu.take(filled!), wanted, tolerance(dtype, 9 * cin));
        });
      });

  for (const dtype of gpu.DTYPES)
    for (const [cin, cout] of [
      [1, 8],
      [3, 16],
      [9, 3],
    ])
      test(`images of ${cin} channels are filled up to whole quads, to ${cout}, ${dtype}`, async () => {
        const random = new Random(cin);
        const [height, width] = [5, 7];
        const [x, w, bias] = [2 * height * width * cin, 9 * cin * cout, cout].map((n) => random.normal(n));
        await gpu.withTensors(async (make) => {
          const made = [make(x, [2, height, width, cin], dtype), make(w, [3, 3, cin, cout], dtype)] as const;
          const work = (tile?: Tile): Tensor =>
            conv2d(...made, make(bias, [cout], dtype), { padding: 1, activation: "silu", tile });
          const plain = await gpu.take(work(PLAIN));
          const wanted = gpu.want((i) => plain[i], plain.length);
          for (const first of ["whole_quads concat", "whole_quads"]) {
            let filled: Tensor | undefined;
            const kernels = await gpu.kernelsRun(() => void (filled = work()));
            expect(kernels.slice(0, kernels.indexOf("conv2d")).join(" ")).toMatch(
              new RegExp(`^${first}( whole_quads)*$`),
            );
            gpu.expectClose("filled", await gpu.take(filled!), wanted, tolerance(dtype, 9 * cin));
          }
        });
      });

  for (const item of phaseCases)
    for (const dtype of gpu.DTYPES)
      test(`upsampled in phases, ${item.name} ${dtype}`, async () => {
        // Each pipeline takes a CPU adapter seconds, with all terms most: one case of each type visits every kind.
        const visits = item.name.startsWith(dtype === "float32" ? "all terms" : "rows for several tiles");
        const kinds = visits ? await gpu.kindsOfTile(dtype, item.cout) : [];
        await checkPhases(item, dtype, [undefined, ...kinds]);
      });

  test("in phases: rows split over dispatches, and square workgroups", async () => {
    const [odd] = phaseCases;
    const several = phaseCases.find(({ name }) => name.startsWith("rows for several tiles"))!;
    await gpu.pretending({ flopsBudget: 300_000 }, () => checkPhases(odd, "float32", [undefined]));
    await gpu.asHardware(() => checkPhases(several, "float16", [undefined, SMALL_WORKGROUP_TILE]));
  });

  test("the weights of phases are made once, also where a plan is recorded first, and go with their weight", async () => {
    const item = phaseCases.find(({ name }) => name.startsWith("rows for several tiles"))!;
    const { height, width, cin, cout } = item;
    const data = conv2dData(item);
    const wanted = await run(item, data, "float32", { phases: true });
    const device = await gpu.testDevice();
    await gpu.withTensors(async (make) => {
      const x = make(data.x, [1, height, width, cin], "float32");
      const w = make(data.w, [3, 3, cin, cout], "float32");
      const bias = make(data.bias, [cout], "float32");
      const residual = make(data.residual!, [1, 2 * height, 2 * width, cout], "float32");
      const work = (input: Tensor): Tensor =>
        conv2d(input, w, bias, { padding: 1, upsample: true, phases: true, residual });
      const plan = new Plan(device, [x], work);
      const made = phaseWeights(w);
      for (let i = 0; i < 2; i++) expect(await plan.run([x]).data()).toEqual(wanted);
      expect(await gpu.take(work(x))).toEqual(wanted);
      expect(phaseWeights(w)).toBe(made);
      plan.dispose();
      w.dispose();
      expect(made.disposed).toBe(true);
    });
  });

  test("the references agree, and phases of float16 lose no more than the rounding of their weights", async () => {
    const [item] = phaseCases;
    const size = item.batch * item.outHeight * item.outWidth * item.cout;
    for (const dtype of gpu.DTYPES) {
      const data = gpu.roundAll(conv2dData(item), dtype);
      const wanted = gpu.want(conv2dReference(item, data), size);
      const got = gpu.want(phasesReference(item, data, dtype), size).values;
      // Each term of a sum is off by the rounding of its weight at most, and these walk at random as the terms do.
      gpu.expectClose(dtype, got, wanted, { relative: 0, ofScale: gpu.STORAGE[dtype] });
    }
  });

  test("large upsampled convolutions are done in phases, small ones and those of other kernels are not", async () => {
    const large = conv2dCases.find(({ name }) => name.startsWith("VAE upsampler"))!;
    const [small] = phaseCases;
    const tall: Conv2dCase = { ...small, kernel: [3, 1], padding: [1, 1, 0, 0] };
    const odd = conv2dCases.find(({ name }) => name.startsWith("upsampled, odd channels"))!;
    const choices = [
      [large, undefined, true],
      [small, undefined, false],
      [tall, true, false],
      [odd, true, false],
    ] as const;
    for (const [item, asked, done] of choices) {
      // Sums in another order differ in their last digits.
      const data = conv2dData(item);
      const doubled = await run(item, data, "float32", { phases: false });
      const got = await run(item, data, "float32", { phases: asked });
      const inPhases = got.some((value, i) => value !== doubled[i]);
      expect(inPhases, item.name).toBe(done);
    }
  });

  test("the reference kernel does large upsampled convolutions too, as they are", async () => {
    const item = conv2dCases.find(({ name }) => name.startsWith("VAE upsampler"))!;
    const size = item.batch * item.outHeight * item.outWidth * item.cout;
    for (const dtype of gpu.DTYPES) {
      const data = gpu.roundAll(conv2dData(item), dtype);
      const wanted = gpu.want(conv2dReference(item, data), size, 512);
      const got = await gpu.pretending({ plainKernels: true }, () => run(item, data, dtype, {}));
      gpu.expectClose(dtype, got, wanted, tolerance(dtype, termsOf(item)));
    }
  });

  test("a layer of full size: [1, 64, 64, 320] -> 320, 3x3, 64 random elements", async () => {
    const item = conv2dCases.find(({ name }) => name.startsWith("down block, 5x5"))!;
    const size = { batch: 1, height: 64, width: 64, outHeight: 64, outWidth: 64 };
    await check({ ...item, ...without, ...size }, "float16", [undefined], 64);
  });

  test("rows are split over dispatches when a layer is long", async () => {
    const item = conv2dCases.find(({ name }) => name.startsWith("rows that fill no tile"))!;
    const odd = conv2dCases.find(({ name }) => name.startsWith("channels 3 to 5"))!;
    await gpu.pretending({ flopsBudget: 30_000 }, async () => {
      await check(item, "float32", [PLAIN, ...tilesFor(item)], Infinity);
      await check(odd, "float16", [PLAIN], Infinity);
    });
  });

  test("a picture's few colours count as more columns: they take as long", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(32 * 32 * 16), [1, 32, 32, 16], "float32");
      const dispatches = async (cout: number): Promise<number> => {
        const [w, bias] = [[3, 3, 16, cout], [cout]].map((shape) =>
          make(new Float32Array(shape.reduce((a, b) => a * b)), shape, "float32"),
        );
        const kernels = (): Promise<string[]> =>
          gpu.kernelsRun(() => conv2d(x, w, bias, { padding: 1, tile: { tileM: 4, tileN4: 1 } }).dispose());
        return (await gpu.pretending({ flopsBudget: 1e6 }, kernels)).length;
      };
      const [few, some, more] = [await dispatches(4), await dispatches(16), await dispatches(32)];
      expect(few).toBe(some);
      expect(more).toBeGreaterThan(some);
    });
  });

  test("square workgroups, which CPU adapters do not use", async () => {
    const item = conv2dCases.find(({ name }) => name.startsWith("rows that fill no tile"))!;
    await gpu.asHardware(() => check(item, "float32", [undefined, { tileM: 4, tileN4: 2 }], Infinity));
  });

  test("a number as padding pads all sides", async () => {
    await gpu.withTensors(async (make) => {
      const random = new Random(3);
      const x = make(random.normal(2 * 3 * 4), [1, 2, 3, 4], "float32");
      const w = make(random.normal(9 * 16), [3, 3, 4, 4], "float32");
      const bias = make(random.normal(4), [4], "float32");
      const one = await gpu.take(conv2d(x, w, bias, { padding: 1 }));
      expect(one).toEqual(await gpu.take(conv2d(x, w, bias, { padding: [1, 1, 1, 1] })));
    });
  });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(16), [1, 2, 2, 4], "float32");
      const w = make(new Float32Array(72), [3, 3, 4, 2], "float32");
      const half = make(new Float32Array(72), [3, 3, 4, 2], "float16");
      const bias = make(new Float32Array(2), [2], "float32");
      expect(() => conv2d(bias, w, bias)).toThrow(
        /conv2d: takes x \[batch, height, width, cin\].*got \[2\] and \[3, 3, 4, 2\]/,
      );
      expect(() => conv2d(x, make(new Float32Array(18), [3, 3, 1, 2], "float32"), bias)).toThrow(
        /got \[1, 2, 2, 4\] and \[3, 3, 1, 2\]/,
      );
      expect(() => conv2d(x, w, x, { padding: 1 })).toThrow("conv2d: bias must be [2], got [1, 2, 2, 4]");
      expect(() => conv2d(x, w, bias)).toThrow("conv2d: the input [1, 2, 2, 4] is smaller than the kernel 3x3");
      expect(() => conv2d(x, w, bias, { padding: 1, shift: bias })).toThrow("conv2d: shift must be [1, 2], got [2]");
      expect(() => conv2d(x, w, bias, { padding: 1, residual: x })).toThrow(
        "conv2d: residual must be [1, 2, 2, 2], got [1, 2, 2, 4]",
      );
      const shortcut = (source: Tensor, weight: Tensor): (() => Tensor) => {
        return () => conv2d(x, w, bias, { padding: 1, shortcut: { sources: [x, source], weight, bias } });
      };
      expect(shortcut(bias, w)).toThrow("conv2d: a source of the shortcut must be [1, 2, 2, 2], got [2]");
      expect(shortcut(x, w)).toThrow("conv2d: the shortcut's weight must be [1, 1, 8, 2], got [3, 3, 4, 2]");
      const pointwise = make(new Float32Array(8), [1, 1, 4, 2], "float32");
      const result = make(new Float32Array(8), [1, 2, 2, 2], "float32");
      const one = { sources: [x] as const, weight: pointwise, bias };
      expect(() => conv2d(x, w, bias, { padding: 1, shortcut: { ...one, bias: x } })).toThrow(
        "conv2d: the shortcut's bias must be [2], got [1, 2, 2, 4]",
      );
      expect(() => conv2d(x, w, bias, { padding: 1, residual: result, shortcut: one })).toThrow(
        "conv2d: takes a shortcut, or a shift and a residual, got both",
      );
      expect(() => conv2d(x, half, bias, { padding: 1 })).toThrow(/conv2d: the dtypes differ.*float32.*float16/);
    });
  });
});
