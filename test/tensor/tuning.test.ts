import { afterEach, describe, expect, test } from "vitest";
import { Device, requestDevice, type Run } from "../../src/tensor/device.js";
import { attention } from "../../src/tensor/ops/attention.js";
import { conv2d } from "../../src/tensor/ops/conv2d.js";
import { matmul } from "../../src/tensor/ops/matmul.js";
import { likelyWays } from "../../src/tensor/tuning/likely_ways.js";
import { keyOf, wayText, type Problem, type Way } from "../../src/tensor/tuning/problem.js";
import { difference, measure } from "../../src/tensor/tuning/race.js";
import { adapterKey, readWays, storeTunings } from "../../src/tensor/tuning/store.js";
import { Trial } from "../../src/tensor/tuning/trial.js";
import { forgetTunings, tune, type TunedOp, type TuneOptions } from "../../src/tensor/tuning/tune.js";
import { DeviceLostError } from "../../src/tensor/errors.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random } from "../cases/data.js";
import * as gpu from "../support/gpu.js";
import { CONV2D, MATMUL, NOTHING, TOLERANCE } from "../support/tuning.js";

/** A product, and what computes it. */
async function withProduct<T>(work: (x: Tensor, w: Tensor) => Promise<T>): Promise<T> {
  return gpu.withTensors((make) => {
    const random = new Random(1);
    return work(make(random.normal(64 * 96), [64, 96], "float32"), make(random.normal(96 * 64), [96, 64], "float32"));
  });
}
const PRODUCT: Problem = { ...MATMUL, m: 64, n: 64, finish: NOTHING };

/** A way of PRODUCT that the rules do not choose, and its tile. */
async function otherWay(device: Device): Promise<Required<Pick<Way, "tile">> & Way> {
  const chosen = await variantsRun(device, () => withProduct((x, w) => gpu.take(matmul(x, w))));
  const way = likelyWays(device, PRODUCT).find(({ tile }) => !chosen.some((each) => isOf(each, tile!)));
  return way as Required<Pick<Way, "tile">> & Way;
}

type AnyRun = Run<object>;

const isOf = (variant: object, tile: object): boolean =>
  Object.entries(tile).every(([key, value]) => (variant as Record<string, unknown>)[key] === value);

/** Variants of the kernels that `work` runs. */
async function variantsRun(device: Device, work: () => Promise<unknown>): Promise<object[]> {
  const variants: object[] = [];
  const original = device.run.bind(device);
  const run: Device["run"] = (call) => {
    variants.push(call.variant as object);
    original(call);
  };
  await gpu.pretending({ run }, work);
  return variants;
}

const tuned = (work: () => unknown, options: TuneOptions = {}): Promise<TunedOp[]> =>
  gpu.testDevice().then((device) => tune(work, { device, store: false, ...options }));

test("a source of a shortcut that is too large for a texture has none", async () => {
  await gpu.pretending({ isSoftware: true, broadcastLanes: 0, quadSwaps: true, cheapTextures: true }, async () => {
    const texturesOf = (shortcut: number[]): unknown => {
      const problem = { ...CONV2D, x: [1, 256, 256, 64], w: [3, 3, 64, 64], out: [256, 256], shortcut };
      return gpu.testDevice().then((device) => likelyWays(device, problem)[0].tile!.textures);
    };
    expect([await texturesOf([]), await texturesOf([128])]).toEqual(["xw", "w"]);
  });
});

describe("tune", () => {
  gpu.checkLeaks();
  afterEach(async () => (await gpu.testDevice()).tunings.kept.clear());

  test("measures each op once, most work first, and keeps what is faster", async () => {
    const device = await gpu.testDevice();
    const heard: TunedOp[] = [];
    await gpu.withTensors(async (make) => {
      const random = new Random(2);
      const some = (...shape: number[]): Tensor => make(random.normal(shape.reduce((a, b) => a * b)), shape, "float32");
      const [x, w, image, kernel, bias] = [some(64, 96), some(96, 64), some(1, 8, 8, 32), some(3, 3, 32, 64), some(64)];
      const tokens = some(1, 16, 32);
      const work = async (): Promise<void> => {
        for (const y of [matmul(x, w), matmul(x, w), conv2d(image, kernel, bias, { padding: 1 })]) await gpu.take(y);
        await gpu.take(attention(tokens, tokens, tokens, { heads: 2 }));
      };
      const rows = await tuned(work, { progressCallback: (row) => heard.push(row) });
      expect(rows.map(({ op, calls }) => [op, calls])).toEqual([
        ["conv2d 3x3 1x8x8x32 to 64 float32", 1],
        ["matmul 64x64x96 float32", 2],
        ["attention 1x2x16x16 of 16 float32", 1],
      ]);
      expect(heard).toEqual(rows);
      for (const { op, ms, ruleMs, way, tried, refused, total } of rows) {
        expect([refused, total]).toEqual([[], 3]);
        // CPU adapters without subgroups, as in Firefox, have no flash attention.
        expect(tried).toBeGreaterThan(op.startsWith("attention") ? 1 : 2);
        expect(ms).toBeGreaterThan(0);
        if (way === "by rule") expect(ms).toBe(ruleMs);
        else expect(ms).toBeLessThan(0.98 * ruleMs);
      }
      expect(device.tunings.kept.size).toBe(rows.filter(({ way }) => way !== "by rule").length);
    });
  });

  test("a kept way is gone, with the same result; one that is none any more is not", async () => {
    const device = await gpu.testDevice();
    const way = await otherWay(device);
    await withProduct(async (x, w) => {
      const before = await gpu.take(matmul(x, w));
      device.tunings.kept.set(keyOf(PRODUCT), structuredClone(way));
      let after: Float32Array | undefined;
      const [variant] = await variantsRun(device, async () => void (after = await gpu.take(matmul(x, w))));
      expect(isOf(variant, way.tile)).toBe(true);
      expect(difference(after!, before, TOLERANCE.float32)).toBeNull();

      device.tunings.kept.set(keyOf(PRODUCT), { tile: { ...way.tile, tileM: 77 } });
      const [byRule] = await variantsRun(device, () => gpu.take(matmul(x, w)));
      expect((byRule as { tileM: number }).tileM).not.toBe(77);

      // The reference path stays what it is.
      device.tunings.kept.set(keyOf(PRODUCT), structuredClone(way));
      const [plain] = await gpu.pretending({ plainKernels: true }, () =>
        variantsRun(device, () => gpu.take(matmul(x, w))),
      );
      expect((plain as { by: string }).by).toBe("plain");
    });
  });

  const spoiled: [what: string, spoil: (call: AnyRun) => AnyRun, why: RegExp][] = [
    ["gives wrong numbers", (call) => ({ ...call, values: { ...call.values, row_end: 3 } }), /its result is off by/],
    ["is no call", (call) => ({ ...call, values: { ...call.values, nonsense: 1 } }), /unknown params nonsense/],
    [
      "does not compile",
      (call) => ({ ...call, kernel: { ...call.kernel, name: "spoiled matmul", source: () => "nonsense" } }),
      /does not compile/,
    ],
  ];
  for (const [what, spoil, why] of spoiled)
    test(`a way that ${what} is refused, and not timed`, async () => {
      const device = await gpu.testDevice();
      const way = await otherWay(device);
      const original = device.run.bind(device);
      const run = (call: AnyRun): void => original(isOf(call.variant, way.tile) ? spoil(call) : call);
      const [row] = await withProduct((x, w) =>
        gpu.pretending({ run: run as Device["run"] }, () => tuned(() => gpu.take(matmul(x, w)))),
      );
      const reasons = row.refused.filter((each) => each.way === wayText(way)).map((each) => each.why);
      expect(reasons.join()).toMatch(why);
      expect(row.way).not.toBe(wayText(way));
      await withProduct((x, w) => gpu.take(matmul(x, w)));
    });

  test("a way that fails as it is recorded, after it was right, is refused", async () => {
    const device = await gpu.testDevice();
    const way = await otherWay(device);
    const original = device.run.bind(device);
    const run = (call: AnyRun): void => {
      if (device.queue.recording && isOf(call.variant, way.tile)) throw new RangeError("no room for a plan");
      original(call);
    };
    const [row] = await withProduct((x, w) =>
      gpu.pretending({ run: run as Device["run"] }, () => tuned(() => gpu.take(matmul(x, w)))),
    );
    expect(row.refused).toEqual([{ way: wayText(way), why: "no room for a plan" }]);
    expect(row.tried).toBe(likelyWays(device, PRODUCT).length);
    expect(row.ms).toBeLessThan(Infinity);
  });

  test("an op without memory for its numbers is told of, and the others are measured", async () => {
    const device = await gpu.testDevice();
    const original = device.take.bind(device);
    let takes = NaN;
    // The first op gets the first of its tensors.
    const take: Device["take"] = (bytes, label) => {
      if (++takes === 2) throw new RangeError("no memory");
      return original(bytes, label);
    };
    const large = keyOf({ ...MATMUL, k: 64, n: 96, finish: NOTHING, m: 96 } as Problem);
    device.tunings.kept.set(large, await otherWay(device));
    await withProduct(async (x, w) => {
      const work = async (): Promise<void> => {
        for (const y of [matmul(x, w), matmul(w, x)]) await gpu.take(y);
        takes = 0;
      };
      const [first, second] = await gpu.pretending({ take }, () => tuned(work));
      expect(first).toEqual({
        op: "matmul 96x96x64 float32",
        calls: 1,
        ruleMs: Infinity,
        ms: Infinity,
        way: "by rule",
        tried: 0,
        refused: [{ way: "by rule", why: "no memory" }],
        done: 1,
        total: 2,
      });
      expect(device.tunings.kept.has(large)).toBe(false);
      expect(second.op).toBe("matmul 64x64x96 float32");
      expect(second.ms).toBeLessThan(Infinity);
    });
  });

  test("what the work left recorded is not lost with a way that fails", async () => {
    const device = await gpu.testDevice();
    const original = device.run.bind(device);
    const run = (call: AnyRun): void => original({ ...call, grid: [1e6, 1, 1] });
    await withProduct(async (x, w) => {
      const wanted = await gpu.take(matmul(x, w));
      let y: Tensor | undefined;
      const work = (): void => {
        y = matmul(x, w);
        device.run = run as Device["run"];
      };
      const [row] = await gpu.pretending({ run: original }, () => tuned(work));
      expect(row.refused[0].why).toMatch(/1000000/);
      expect(await gpu.take(y!)).toEqual(wanted);
    });
  });

  test("measures what a kernel reads through textures with its copy for each run", async () => {
    const device = await gpu.testDevice();
    const trial = new Trial(device, MATMUL);
    const { queue } = device;
    const push = queue.push.bind(queue);
    let copies = 0;
    queue.push = (command) => {
      if (!queue.recording && command.kind === "texture") copies++;
      push(command);
    };
    try {
      const way: Way = { tile: { tileM: 4, tileN4: 2, textures: "xw" } };
      await measure(device, trial, way, { plans: 1, each: 3, replay: false });
    } finally {
      queue.push = push;
      trial.dispose();
    }
    expect(copies).toBe(1 + 3);
  });

  const adapters: [on: string, as: (work: () => Promise<void>) => Promise<void>][] = [
    ["this adapter", (work) => work()],
    ["GPUs", (work) => gpu.asHardware(work)],
  ];
  for (const [on, as] of adapters)
    test(`where the rules' own way is wrong, a right one is kept: on ${on}`, () =>
      as(async () => {
        const device = await gpu.testDevice();
        const [chosen] = await variantsRun(device, () => withProduct((x, w) => gpu.take(matmul(x, w))));
        const original = device.run.bind(device);
        const run = (call: AnyRun): void => {
          const byRule = JSON.stringify(call.variant) === JSON.stringify(chosen);
          original(byRule ? { ...call, values: { ...call.values, row_end: 3 } } : call);
        };
        // Memory as it comes, with the numbers of others: tests' devices fill it.
        const wrong = { run: run as Device["run"], take: Device.prototype.take };
        const [row] = await withProduct((x, w) => gpu.pretending(wrong, () => tuned(() => gpu.take(matmul(x, w)))));
        expect(row.ruleMs).toBe(Infinity);
        expect(row.way).not.toBe("by rule");
        expect(row.refused.map(({ way }) => way)).toContain("by rule");
      }));

  test("stops when it is told to, and after its time", async () => {
    const device = await gpu.testDevice();
    await withProduct(async (x, w) => {
      const other = (): Tensor => matmul(w, x);
      const work = async (): Promise<void> => {
        for (const y of [matmul(x, w), other()]) await gpu.take(y);
      };
      const controller = new AbortController();
      const abort = new Error("enough");
      const rows: TunedOp[] = [];
      const progressCallback = (row: TunedOp): void => {
        rows.push(row);
        controller.abort(abort);
      };
      await expect(tuned(work, { signal: controller.signal, progressCallback })).rejects.toBe(abort);
      expect(rows).toHaveLength(1);
      expect(device.tunings.kept.size).toBe(rows[0].way === "by rule" ? 0 : 1);
      expect(await tuned(work, { seconds: 0 })).toHaveLength(0);
      let begun = false;
      await expect(tuned(() => (begun = true), { signal: controller.signal })).rejects.toBe(abort);
      expect(begun).toBe(false);
    });
  });

  test("ends with what an async callback rejects with, which is not waited for", async () => {
    const fault = new Error("mine");
    const rows: TunedOp[] = [];
    const progressCallback = async (row: TunedOp): Promise<void> => {
      rows.push(row);
      await Promise.reject(fault);
    };
    const never = (): Promise<void> => new Promise(() => undefined);
    await withProduct(async (x, w) => {
      const work = async (): Promise<void> => {
        for (const y of [matmul(x, w), matmul(w, x)]) await gpu.take(y);
      };
      await expect(tuned(work, { progressCallback })).rejects.toBe(fault);
      expect(rows).toHaveLength(1);
      await expect(tuned(() => gpu.take(matmul(x, w)), { progressCallback })).rejects.toBe(fault);
      expect(await tuned(work, { progressCallback: never })).toHaveLength(2);
    });
  });

  test("ends with the device, and what was found until then is kept", async () => {
    const device = await requestDevice();
    const [x, w] = [new Float32Array(64 * 96).fill(1), new Float32Array(96 * 64).fill(1)];
    const [a, b] = [Tensor.from(x, [64, 96], { device }), Tensor.from(w, [96, 64], { device })];
    const work = async (): Promise<void> => {
      for (const y of [matmul(a, b), matmul(b, a)]) await gpu.take(y);
    };
    const rows: TunedOp[] = [];
    const progressCallback = (row: TunedOp): void => {
      rows.push(row);
      setTimeout(() => device.destroy(), 10);
    };
    await expect(tuned(work, { device, progressCallback })).rejects.toThrow(DeviceLostError);
    expect(rows).toHaveLength(1);
    expect(device.tunings.kept.size).toBe(rows[0].way === "by rule" ? 0 : 1);
    expect([device.tunings.measuring, device.queue.recording]).toEqual([false, null]);
  });

  test("says what is wrong", async () => {
    const device = await gpu.testDevice();
    await expect(tuned(5 as unknown as () => void)).rejects.toThrow(
      'tune: takes a function such as () => pipeline("a red circle"), got 5',
    );
    await expect(tuned(() => undefined)).rejects.toThrow("tune: the work ran no matmul, convolution or attention");
    const signal = new AbortController() as unknown as AbortSignal;
    await expect(tuned(() => undefined, { signal })).rejects.toThrow("signal must be an AbortSignal");
    await expect(tuned(() => undefined, { progressCallback: 5 as never })).rejects.toThrow(
      "tune: progressCallback must be a function, got 5",
    );
    await expect(tuned(() => undefined, { seconds: NaN })).rejects.toThrow("seconds must be a number of at least 0");
    await expect(tuned(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    await expect(tuned(() => tuned(() => undefined))).rejects.toThrow("another call is under way on this device");
    let second: Promise<unknown> | undefined;
    const progressCallback = (): void => void (second = tune(() => undefined, { device }).catch(String));
    await withProduct((x, w) => tuned(() => gpu.take(matmul(x, w)), { progressCallback }));
    expect(await second).toMatch("another call is under way on this device");
    await expect(gpu.pretending({ plainKernels: true }, () => tuned(() => undefined))).rejects.toThrow("plainKernels");
    expect([device.tunings.onProblem, device.tunings.measuring]).toEqual([null, false]);
  });

  test("is shared by the devices of an adapter, and kept where there is a place", async () => {
    const device = await gpu.testDevice();
    const other = await requestDevice();
    try {
      device.tunings.kept.set(keyOf(PRODUCT), await otherWay(device));
      device.tunings.measured.add(keyOf(PRODUCT));
      expect(other.tunings).not.toBe(device.tunings);
      expect(other.tunings.kept).toBe(device.tunings.kept);
      const where = await storeTunings(device);
      // In Node tests have it off (vitest.config.ts); test/cli/tune.node.test.ts has it on.
      const browser = typeof process === "undefined";
      expect(where).toBe(browser ? "the browser's cache webgpu-diffusers-tunings" : null);
      expect(await readWays(adapterKey(device))).toEqual(browser ? device.tunings.kept : new Map());
    } finally {
      other.destroy();
      await forgetTunings(device);
    }
    expect((await readWays(adapterKey(device))).size).toBe(0);
  });

  test("is forgotten when asked to", async () => {
    const device = await gpu.testDevice();
    device.tunings.kept.set(keyOf(PRODUCT), await otherWay(device));
    await forgetTunings(device);
    expect(device.tunings.kept.size).toBe(0);
  });
});

test("a difference is NaN too", () => {
  const some = (...numbers: number[]): Float32Array => Float32Array.from(numbers);
  expect(difference(some(1, 2), some(1, 2), 0)).toBeNull();
  expect(difference(some(1, 2.5), some(1, 2), 0.25)).toBeNull();
  expect(difference(some(1, 2.6), some(1, 2), 0.25)).toMatch("its result is off by 6.0e-1, of numbers up to 2.0e+0");
  expect(difference(some(NaN, 2), some(1, 2), 0.25)).toMatch("off by Infinity");
  expect(difference(some(Infinity, 2), some(1, 2), 0.25)).toMatch("off by Infinity");
});
