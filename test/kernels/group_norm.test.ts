import { describe, expect, test } from "vitest";
import type { BlockPlan } from "../../src/tensor/ops/group_norm_block.js";
import { groupNorm, type GroupNormOptions } from "../../src/tensor/ops/norm.js";
import { blockWidth } from "../../src/tensor/ops/norm_lanes.js";
import { fixedLanes } from "../../src/tensor/adapter_kind.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { FloatType } from "../cases/data.js";
import {
  groupNormCases,
  groupNormData,
  groupNormReference,
  joinedCases,
  largeCases,
  type GroupNormCase,
  type NormData,
} from "../cases/group_norm.js";
import * as gpu from "../support/gpu.js";

/** Numbers that one accumulator sums where the launcher chooses the splits. */
const CHOSEN = 256;

/**
 * A sum of n numbers in float32 is off by about sqrt(n) ulp, and inverseSqrt may be off by 2 ulp more. A mean far from
 * zero costs ulps of the mean, in units of the deviation, which is 1 in all cases.
 */
const tolerance = (dtype: FloatType, summed = CHOSEN, mean = 0): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype],
  ofScale: gpu.EPSILON * (2 + Math.sqrt(summed)),
  absolute: 4 * gpu.EPSILON * (1 + mean) + (dtype === "float16" ? 2 ** -25 : 0),
});

/** Some channels of every pixel. */
function channelsOf(x: Float32Array, channels: number, from: number, to: number): Float32Array {
  const parts = Array.from({ length: x.length / channels }, (_, i) =>
    x.subarray(i * channels + from, i * channels + to),
  );
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

async function run(
  item: GroupNormCase,
  data: NormData,
  dtype: FloatType,
  how: Pick<GroupNormOptions, "splits" | "held" | "plain" | "blocks"> = {},
): Promise<Float32Array> {
  const { batch, spatial, channels, groups, eps, silu, skip: behind = 0 } = item;
  return gpu.withTensors(async (make) => {
    const part = (from: number, to: number): Tensor =>
      make(channelsOf(data.x, channels, from, to), [batch, ...spatial, to - from], dtype);
    const front = channels - behind;
    const [x, skip] = [part(0, front), behind > 0 ? part(front, channels) : null];
    const weight = make(data.weight, [channels], dtype);
    return gpu.take(groupNorm(x, weight, make(data.bias, [channels], dtype), { groups, eps, silu, skip, ...how }));
  });
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Sizes of the kernels of GPUs beside those that are chosen: all at once and split, few and many threads, blocks of one width and two. */
function plansOf({ channels, groups, spatial, skip = 0 }: GroupNormCase): BlockPlan[] {
  const plans: BlockPlan[] = [];
  const pixels = spatial.reduce((a, b) => a * b, 1);
  for (const [quads, threads, unroll, blocks, splits, runs] of [
    [1, 64, 1, 1, 0, 1],
    [1, 128, 2, 2, 3, 1],
    [2, 64, 1, 1, 5, 3],
  ] as const) {
    const lanes = 4 * quads;
    const narrow = channels / groups / divisor(channels / groups, lanes);
    const width = narrow * blocks;
    const most = Math.ceil(pixels / Math.floor(threads / width));
    const fits = channels % lanes === 0 && skip % lanes === 0 && width <= threads;
    if (fits) plans.push({ quads, threads, unroll, width, splits: Math.min(splits, most), runs });
  }
  return plans;
}

describe("groupNorm", () => {
  gpu.checkLeaks();

  for (const [i, item] of [...groupNormCases, ...joinedCases].entries())
    for (const dtype of gpu.DTYPES)
      test(`${item.name}${item.silu ? ", silu" : ""} ${dtype}`, async () => {
        const data = gpu.roundAll(groupNormData(item), dtype);
        const wanted = gpu.want(groupNormReference(item, data), data.x.length);
        const size = data.x.length / item.batch / item.groups;
        for (const splits of [undefined, 1, 3, 7]) {
          const summed = splits && size / splits;
          if (summed && summed > 16384) continue;
          const got = await run(item, data, dtype, { splits, held: splits === 7 ? 5 : undefined });
          gpu.expectClose(`${splits} splits`, got, wanted, tolerance(dtype, summed, item.mean));
        }
        const chosen = await gpu.asHardware(() => run(item, data, dtype));
        gpu.expectClose("chosen for GPUs", chosen, wanted, tolerance(dtype, CHOSEN, item.mean));
        // Each pipeline takes a CPU adapter long: a case has other sizes in one of the types.
        const visits = (i % 2 === 0) === (dtype === "float32");
        for (const blocks of visits ? plansOf(item) : []) {
          const got = await run(item, data, dtype, { blocks });
          gpu.expectClose(JSON.stringify(blocks), got, wanted, tolerance(dtype, CHOSEN, item.mean));
        }
      });

  for (const item of largeCases)
    for (const dtype of gpu.DTYPES)
      test(`in slabs, where no binding holds the whole: ${item.name} ${dtype}`, async () => {
        const data = gpu.roundAll(groupNormData(item), dtype);
        const wanted = gpu.want(groupNormReference(item, data), data.x.length);
        const got = (): Promise<Float32Array> => run(item, data, dtype);
        const limit = dtype === "float32" ? 40 * 1024 : 34 * 1024;
        const few = (): Promise<Float32Array> => run(item, data, dtype, { splits: 3 });
        for (const cut of [got, few, () => gpu.asHardware(got)])
          gpu.expectClose("", await gpu.withLimit(limit, cut), wanted, tolerance(dtype, CHOSEN, item.mean));
        // One image by itself fits.
        const images = item.batch > 1 ? await gpu.withLimit(4 * limit, got) : null;
        if (images) gpu.expectClose("", images, wanted, tolerance(dtype, CHOSEN, item.mean));
      });

  test("no dispatch goes through more numbers than a CPU adapter's budget allows", async () => {
    const item = largeCases[0];
    const data = groupNormData(item);
    const wanted = gpu.want(groupNormReference(item, data), data.x.length);
    const image = data.x.length / item.batch;
    for (const [most, parts] of [
      [2 * image, 1],
      [image, 2],
      [image - 1, 4],
      [image / 4, 8],
    ])
      await gpu.pretending({ flopsBudget: 20 * most }, async () => {
        gpu.expectClose(`${parts}`, await run(item, data, "float32", { splits: 4 }), wanted, tolerance("float32"));
        await gpu.withTensors(async (make) => {
          const x = make(data.x, [item.batch, ...item.spatial, item.channels], "float32");
          const [weight, bias] = [data.weight, data.bias].map((each) => make(each, [item.channels], "float32"));
          const names = await gpu.kernelsRun(() =>
            groupNorm(x, weight, bias, { groups: item.groups, eps: item.eps, splits: 4 }).dispose(),
          );
          expect(names.filter((name) => name === "group_norm apply")).toHaveLength(parts);
        });
      });
  });

  test("runs begin where they do, however many pixels there are", async () => {
    // Numbers of runs and of pixels whose product passes 2^32, as that of 2048 runs of two million pixels does.
    const pixels = 65600;
    const item: GroupNormCase = { ...groupNormCases[0], batch: 1, spatial: [pixels], channels: 4, groups: 4 };
    const data = groupNormData(item);
    const wanted = gpu.want(groupNormReference(item, data), data.x.length, 512);
    const got = await run(item, data, "float32", { splits: pixels - 1 });
    gpu.expectClose("one pixel each", got, wanted, tolerance("float32", pixels));
  });

  test("the kernels for any number of channels give the same where quads fit", async () => {
    for (const item of groupNormCases.slice(0, 7))
      for (const dtype of gpu.DTYPES) {
        const data = gpu.roundAll(groupNormData(item), dtype);
        const wanted = gpu.want(groupNormReference(item, data), data.x.length);
        for (const splits of [undefined, 3])
          gpu.expectClose(item.name, await run(item, data, dtype, { splits, plain: true }), wanted, tolerance(dtype));
      }
  });

  test("a CPU adapter takes one dispatch where the tensor is small and a subgroup has whole groups", async (context) => {
    const { adapterInfo, features, isSoftware } = await gpu.testDevice();
    if (!isSoftware) context.skip("for CPU adapters");
    const lanes = fixedLanes(adapterInfo, features);
    await gpu.withTensors(async (make) => {
      const names = (shape: number[], groups: number): Promise<string[]> => {
        const [x, weight] = [shape, shape.slice(-1)].map((each) =>
          make(new Float32Array(each.reduce((a, b) => a * b, 1)), each, "float32"),
        );
        return gpu.kernelsRun(() => groupNorm(x, weight, weight, { groups, eps: 1e-5 }).dispose());
      };
      const three = ["group_norm statistics", "group_norm merge", "group_norm apply"];
      expect(await names([2, 8, 8, 64], 16)).toEqual(lanes > 0 ? ["group_norm lanes"] : three);
      expect(await names([2, 64, 64, 64], 16)).toEqual(three);
      expect(await names([1, 2, 2, 1280], 1)).toEqual(three);
    });
  });

  for (const [lanes, batch, channels, groups, width] of [
    [8, 2, 32, 16, 2],
    [8, 2, 64, 16, 4],
    [8, 2, 96, 16, 6],
    [8, 1, 96, 16, 3],
    [8, 1, 320, 32, 5],
    [4, 2, 320, 32, 0],
    [8, 2, 12, 2, 3],
    [0, 2, 64, 16, 0],
  ])
    test(`${lanes} lanes have ${width} columns of ${batch} images of ${channels} channels in ${groups} groups`, () =>
      expect(blockWidth(lanes, { batch, channels, groups })).toBe(width));

  test("a GPU takes two dispatches, or one where groups are small", async () => {
    await gpu.withTensors(async (make) => {
      const names = (shape: number[], groups: number, dtype: FloatType): Promise<string[]> => {
        const [x, weight] = [shape, shape.slice(-1)].map((each) =>
          make(new Float32Array(each.reduce((a, b) => a * b, 1)), each, dtype),
        );
        return gpu.asHardware(() =>
          gpu.kernelsRun(() => groupNorm(x, weight, weight, { groups, eps: 1e-5, silu: true }).dispose()),
        );
      };
      for (const dtype of gpu.DTYPES) {
        expect(await names([2, 8, 8, 1280], 32, dtype)).toEqual(["group_norm block"]);
        const two = ["group_norm block statistics", "group_norm block apply"];
        expect(await names([1, 64, 64, 320], 32, dtype)).toEqual(two);
        // No workgroup has so many threads.
        expect(await names([1, 4, 4, 8192], 1, dtype)).toContain("group_norm merge");
      }
    });
  });

  test("large halves do not overflow inside", async () => {
    const item = groupNormCases[3];
    const data = groupNormData(item);
    data.x = data.x.map((value) => value * 15000);
    const rounded = gpu.roundAll(data, "float16");
    const wanted = gpu.want(groupNormReference(item, rounded), data.x.length);
    gpu.expectClose("large", await run(item, rounded, "float16"), wanted, tolerance("float16"));
  });

  test("a constant picture becomes the bias", async () => {
    const item = groupNormCases[0];
    const data = groupNormData(item);
    data.x.fill(7.7);
    const got = await run(item, data, "float32");
    const wanted = gpu.want((i) => data.bias[i % item.channels], got.length);
    gpu.expectClose("bias", got, wanted, { relative: 0, absolute: 1e-3 });
  });

  test("a group that overflows leaves its neighbours alone", async () => {
    const item = groupNormCases.find(({ name }) => name.startsWith("tokens"))!;
    const data = groupNormData(item);
    const perGroup = item.channels / item.groups;
    const spoilt = (i: number): boolean => Math.floor((i % item.channels) / perGroup) === 1;
    data.x.forEach((_, i) => spoilt(i) && (data.x[i] = i % 2 === 0 ? 1e30 : -1e30));
    const positions = [...data.x.keys()].filter((i) => !spoilt(i));
    const values = positions.map(groupNormReference(item, data));
    for (const how of [{}, { splits: 3 }, ...plansOf(item).map((blocks) => ({ blocks }))]) {
      const got = await run(item, data, "float32", how);
      gpu.expectClose(JSON.stringify(how), got, { positions, values, size: got.length }, tolerance("float32"));
    }
  });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(24), [1, 2, 2, 6], "float32");
      const six = make(new Float32Array(6), [6], "float32");
      const four = make(new Float32Array(4), [4], "float32");
      const half = make(new Float32Array(6), [6], "float16");
      const options = { groups: 3, eps: 1e-5 };
      expect(() => groupNorm(x, six, six, { groups: 4, eps: 1e-5 })).toThrow(
        /groupNorm: 4 groups do not divide.*\[1, 2, 2, 6\]/,
      );
      expect(() => groupNorm(x, six, six, { groups: 0, eps: 1e-5 })).toThrow(/groupNorm: 0 groups/);
      expect(() => groupNorm(six, six, six, options)).toThrow(/groupNorm: .*\[6\]/);
      expect(() => groupNorm(x, four, six, options)).toThrow("groupNorm: weight must be [6], got [4]");
      expect(() => groupNorm(x, six, four, options)).toThrow("groupNorm: bias must be [6], got [4]");
      expect(() => groupNorm(x, half, six, options)).toThrow(/groupNorm: the dtypes differ/);
      const quads = make(new Float32Array(16), [1, 2, 2, 4], "float32");
      expect(() => groupNorm(x, six, six, { ...options, skip: quads })).toThrow(
        /groupNorm: 3 groups do not divide.*\[1, 2, 2, 6\].* and skip \[1, 2, 2, 4\]/,
      );
      expect(() => groupNorm(x, six, six, { groups: 5, eps: 1e-5, skip: quads })).toThrow(
        /groupNorm: x and skip are joined by quads.*\[1, 2, 2, 6\] and \[1, 2, 2, 4\]/,
      );
      const wide = make(new Float32Array(16), [1, 4, 1, 4], "float32");
      expect(() => groupNorm(quads, six, six, { groups: 2, eps: 1e-5, skip: wide })).toThrow(
        "groupNorm: skip must be [1, 2, 2, 4], got [1, 4, 1, 4]",
      );
    });
  });
});
