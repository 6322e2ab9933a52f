import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Timer } from "../../bench/harness.js";
import { kernelTimes } from "../../bench/kernel_times.js";
import { describe as describeRow, measure } from "../../bench/measure.js";
import { benchOf } from "../../bench/ops.js";
import { print } from "../../bench/print.js";
import { Probe, type DispatchTime } from "../../bench/probe.js";
import { reportPage } from "../../bench/report.js";
import {
  parseLines,
  type Line,
  type OpResult,
  type Result,
  type RooflineResult,
  type WholeResult,
} from "../../bench/results.js";
import { deviceInfo } from "../../bench/run_info.js";
import { runSuite } from "../../bench/run.js";
import type { Conv2dShape } from "../../bench/shapes.js";
import { runText, tableRow } from "../../bench/table.js";
import { requestDevice } from "../../src/tensor/device.js";
import { product } from "../../src/tensor/dtype.js";
import { requestNodeGPU } from "../../src/tensor/gpu_node.js";
import { matmul } from "../../src/tensor/ops/matmul.js";
import { layerNorm } from "../../src/tensor/ops/norm.js";
import { Tensor } from "../../src/tensor/tensor.js";

const adapter = async (): Promise<GPUAdapter> => (await (await requestNodeGPU()).requestAdapter())!;
const suite = { quick: true, tune: false, dtypes: ["float32"] as const, model: "", adapter, begin: () => undefined };

const emitted: Result[] = [];
beforeAll(async () => {
  await runSuite({ ...suite, filter: "layer_norm", emit: (result) => void emitted.push(result) });
});

const run = {
  date: "2026-01-02T03:04:05Z",
  version: "0.0.0",
  node: "v20",
  platform: "p",
  cpu: "c",
  loadAverage: 1,
  driver: "",
  adapter: "an <adapter>",
  vendor: "",
  architecture: "",
  software: true,
  features: [],
  quick: true,
  clock: "wall" as const,
};

describe("a quick run with a filter", () => {
  test("measures the roofline first: positive, finite numbers", () => {
    const { kind, peakForm, bandwidthForm, matrixGflops = 1, ...numbers } = emitted[0] as RooflineResult;
    expect({ kind, forms: [peakForm, bandwidthForm].includes("none") }).toEqual({ kind: "roofline", forms: false });
    expect(matrixGflops).toBeGreaterThan(0);
    expect(Object.keys(numbers).length).toBe(6);
    for (const [name, value] of Object.entries(numbers)) {
      expect(value, name).toBeGreaterThan(0);
      expect(Number.isFinite(value), name).toBe(true);
    }
  });

  test("ends with rows that are right and timed", () => {
    const rows = emitted.slice(1) as OpResult[];
    expect(rows.length).toBe(1);
    for (const row of rows) {
      expect(row.op).toBe("layer_norm");
      expect(row.status).toBe("ok");
      expect(row.error).toBeLessThan(1e-5);
      for (const value of [row.ms, row.gbs, row.percent, row.firstMs]) expect(value).toBeGreaterThan(0);
      expect(row.p10!).toBeLessThanOrEqual(row.ms!);
      expect(row.p90!).toBeGreaterThanOrEqual(row.ms!);
      expect(row.ms! * row.runs!).toBeGreaterThan(5);
      expect(row.dispatches).toBe(row.pipelines!.length);
      expect(row.pipelines!.join()).toMatch(/^layer_norm /);
    }
  });

  test("with tune it takes the fastest way, for this run only", async () => {
    const device = await requestDevice({ adapter: await adapter() });
    device.destroy();
    const { kept } = device.tunings; // which all devices of the adapter share
    const set = vi.spyOn(kept, "set");
    const rows: OpResult[] = [];
    const emit = (result: Result): void => void (result.kind === "op" && rows.push(result));
    await runSuite({ ...suite, quick: false, tune: true, filter: "matmul 2x1280x320", emit });
    expect(rows.map(({ op, status }) => [op, status])).toEqual([["matmul", "ok"]]);
    const [, way] = set.mock.lastCall ?? [];
    for (const [name, value] of Object.entries(way?.tile ?? {}))
      expect(rows[0].pipelines!.join()).toContain(`"${name}":${value}`);
    expect(kept.size).toBe(0);
  });

  test("a filter that nothing matches is an error", async () => {
    const failing = runSuite({ ...suite, filter: "nosuch", emit: () => undefined });
    await expect(failing).rejects.toThrow('--filter: no op contains "nosuch"');
    const without = runSuite({ ...suite, filter: "real size", emit: () => undefined });
    await expect(without).rejects.toThrow('no op contains "real size"; --real-size FOLDER is missing');
  });
});

describe("on a device of its own", () => {
  let probe: Probe;
  let timer: Timer;
  beforeAll(async () => {
    probe = await Probe.create(await adapter());
    timer = await Timer.create(probe, { budget: 50 });
  });
  afterAll(() => probe.device.destroy());
  const item = benchOf({ op: "matmul", M: 64, N: 64, K: 64, bias: true })!;
  const described: OpResult = {
    kind: "op",
    op: "matmul",
    label: "",
    dtype: "float32",
    status: "fused",
    counts: {},
    flops: item.flops,
    bytes: 4 * item.elements,
  };
  const measured = (bench: typeof item): Promise<OpResult> =>
    measure(timer, emitted[0] as RooflineResult, described, bench);

  test("what is right is timed, and leaves nothing behind", async () => {
    const before = probe.device.memoryUse.buffers;
    expect((await measured(item)).status).toBe("ok");
    expect(probe.device.memoryUse.buffers).toBeLessThanOrEqual(before + 1); // the timestamps' buffer stays
  });

  test("what is known of a run says whether its ops were tuned first", () => {
    for (const tune of [true, false]) {
      const info = { ...run, ...deviceInfo(timer, { quick: true, tune }) };
      expect(info).toMatchObject({ quick: true, tune });
      expect(runText(info).join().includes("each op tuned first")).toBe(tune);
    }
  });

  test("a result that is no number goes through JSON into the report", async () => {
    const nan: typeof item = {
      ...item,
      prepare: (make, dtype) => ({ ...item.prepare(make, dtype), reference: () => NaN }),
    };
    const text = JSON.stringify({ ...(await measured(nan)), run });
    expect(text).not.toContain("null");
    expect(reportPage(parseLines(text, "file"))).toContain("wrong: ");
  });

  test("what is wrong is not timed", async () => {
    const wrong: typeof item = {
      ...item,
      prepare: (make, dtype) => ({ ...item.prepare(make, dtype), reference: () => 1 }),
    };
    const { status, ms, message } = await measured(wrong);
    expect({ status, ms }).toEqual({ status: "wrong", ms: undefined });
    expect(message).toMatch(/elements are wrong; the worst, at \d+: got .*, want 1/);
  });

  test("Winograd's filtering and phases are judged by the multiply-adds that they do", async () => {
    const shape: Conv2dShape = {
      op: "conv2d",
      N: 1,
      Cin: 64,
      H: 40,
      W: 36,
      Cout: 64,
      k: 3,
      stride: 1,
      pad: 1,
      OH: 40,
      OW: 36,
    };
    const roofline = { ...(emitted[0] as RooflineResult), peakGflops: 1, bandwidthGBs: Infinity };
    for (const [ofDoubled, way, share] of [
      [{}, "product", 1],
      [{}, "winograd", 4 / 9],
      [{ doubled: true }, "product", 4 / 9], // large enough for phases
      [{ doubled: true }, "winograd", 1 / 4],
    ] as const) {
      const [row, bench] = describeRow({ shape: { ...shape, ...ofDoubled, way }, counts: {} }, "float32");
      const result = await measure(timer, roofline, row, bench!);
      expect(result.status).toBe("ok");
      expect(result.doneFlops).toBe(share === 1 ? undefined : share * row.flops);
      expect(result.gflops).toBeCloseTo(row.flops / result.ms! / 1e6, 9);
      expect(result.percent).toBeCloseTo(100 * share * result.gflops!, 6);
      expect(tableRow(result).includes("†")).toBe(share < 1);
      expect(reportPage([{ ...result, run }]).includes("direct convolution")).toBe(share < 1);
    }
  });

  test("an op that throws fails alone", async () => {
    const failing = {
      ...item,
      prepare: () => ({
        run: () => {
          throw new RangeError("too large");
        },
        reference: () => 0,
      }),
    };
    const { status, message } = await measured(failing);
    expect({ status, message }).toEqual({ status: "failed", message: "too large" });
  });
});

test("the time of a piece of work by kernel: every dispatch counts once", async () => {
  const probe = await Probe.create(await adapter());
  const { device } = probe;
  const zeros = (...shape: number[]): Tensor => Tensor.from(new Float32Array(product(shape)), shape, { device });
  const [x, w, scale] = [zeros(64, 64), zeros(64, 64), zeros(64)];
  const record = (): void => {
    device.scope(() => void layerNorm(matmul(matmul(x, w), w), scale, scale, { eps: 1e-5, by: "plain" }));
  };
  try {
    const timer = await Timer.create(probe, { budget: 50 });
    record();
    await device.synchronize();
    const before = await probe.watch(record);
    const rows = await kernelTimes(timer, { name: "work", dtype: "float32" }, record);
    if (timer.clock === "wall") return expect(rows).toEqual([]);
    const [total, longest, ...kernels] = rows;
    expect(total.name).toBe("work, sum of its dispatches");
    expect(kernels.map(({ name }) => name).sort()).toEqual(["work, 1 x layer_norm", "work, 2 x matmul"]);
    for (const { value } of kernels) expect(value).toBeGreaterThan(0);
    expect(longest.name).toMatch(/^work, the longest, (matmul|layer_norm)$/);
    expect(longest.value).toBeLessThanOrEqual(Math.max(...kernels.map(({ value }) => value)));
    expect(kernels.reduce((sum, { value }) => sum + value, 0)).toBeCloseTo(total.value, 6);
    // Nothing of it is left: the next work has as few passes as before.
    expect(await probe.watch(record)).toEqual(before);
  } finally {
    for (const tensor of [x, w, scale]) tensor.dispose();
    device.destroy();
  }
});

test("of several runs by kernel the one with the median sum counts", async () => {
  const sums = [5, 1, 4, 2, 3];
  const dispatchTimes = async (): Promise<DispatchTime[]> => [{ label: "add {}", ms: sums.pop()! }];
  const probe = { device: { isSoftware: true }, dispatchTimes };
  const rows = await kernelTimes(
    { clock: "timestamps", probe } as unknown as Timer,
    { name: "work", dtype: "float32" },
    () => {},
  );
  expect(rows.map(({ name, value }) => [name, value])).toEqual([
    ["work, sum of its dispatches", 3],
    ["work, the longest, add", 3],
    ["work, 1 x add", 3],
  ]);
});

describe("the report", () => {
  const wrong: OpResult = { ...emittedOp("wrong op"), status: "wrong", message: "1 < 2" };
  function emittedOp(op: string): OpResult {
    return { kind: "op", op, label: "2x3", dtype: "float32", status: "ok", counts: {}, flops: 0, bytes: 24 };
  }

  test("has every op, every run, and no script or address", () => {
    const lines: Line[] = [
      ...emitted,
      wrong,
      { kind: "whole", name: "load", dtype: "float32", value: 12, unit: "ms" } as const,
    ].flatMap((result) => [run, { ...run, date: "2026-02-02T03:04:05Z" }].map((info) => ({ ...result, run: info })));
    const text = lines.map((line) => JSON.stringify(line)).join("\n");
    const page = reportPage(parseLines(text, "file"));
    for (const result of emitted) if (result.kind === "op") expect(page).toContain(result.label);
    for (const part of ["layer_norm", "wrong op", "load", "<svg", "2026-01-02", "2026-02-02", "an &#60;adapter&#62;"])
      expect(page).toContain(part);
    expect(page).toContain("1 &#60; 2");
    expect(page).not.toMatch(/<script|https?:|<adapter>/);
  });

  test("has all texts escaped, of lines that nobody has checked too", () => {
    const bad = "<b>";
    const ways = [{ library: bad, way: bad, status: "wrong" as const, message: bad }];
    const op = { ...wrong, op: bad, label: bad, dtype: bad as "float32", cutFrom: bad };
    const whole = { kind: "whole" as const, name: bad, dtype: bad as "float32", value: 1, unit: bad as "ms" };
    const page = reportPage([
      { ...op, status: bad as "wrong", message: bad, run },
      { ...op, status: "ok", pipelines: [bad], run },
      { ...op, kind: "peers", ways, run: { ...run, peers: { [bad]: bad } } },
      { ...whole, run },
    ]);
    expect(page).not.toContain(bad);
  });

  test("and the terminal have the models of other sizes under headings of their own", () => {
    const whole = (name: string, unit: WholeResult["unit"]): WholeResult => {
      return { kind: "whole", name, dtype: "float16", value: 1, unit };
    };
    const results = [
      whole("load", "ms"),
      whole("planned memory of the UNet step", "MiB"),
      whole("many devices: 1", "pictures/s"),
      whole("real size, load", "ms"),
      whole("real size, weights", "MiB"),
    ];
    const charts = reportPage(results.map((result) => ({ ...result, run })))
      .split("<figure>")
      .slice(1);
    const shown = charts.map((chart) => [
      /<figcaption>(.*?)</.exec(chart)![1],
      results.map(({ name }) => name).find((name) => chart.includes(`>${name} `)),
    ]);
    expect(shown).toEqual([
      ["The package&#39;s model: milliseconds (logarithmic)", "load"],
      ["The package&#39;s model: GPU memory", "planned memory of the UNet step"],
      ["Many devices: pictures per second", "many devices: 1"],
      ["A model of Stable Diffusion 1.5&#39;s size: milliseconds (logarithmic)", "real size, load"],
      ["A model of Stable Diffusion 1.5&#39;s size: GPU memory", "real size, weights"],
    ]);
    const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
    for (const result of results) print(result);
    const printed = log.mock.calls.flat().map((text: string) => text.trim().split(/ {2,}/)[0]);
    log.mockRestore();
    expect(printed).toEqual([
      "The package's model",
      "load",
      "planned memory of the UNet step",
      "Many devices",
      "many devices: 1",
      "A model of Stable Diffusion 1.5's size",
      "real size, load",
      "real size, weights",
    ]);
  });

  test("says which line is no result", () => {
    expect(() => parseLines('{"kind":"op"}\n', "results.jsonl")).toThrow("results.jsonl: line 1 is no result");
    expect(() => parseLines("\n{", "results.jsonl")).toThrow("results.jsonl: line 2");
    const line = { ...wrong, run };
    const broken: [object, string][] = [
      [{ kind: "op", run: { date: "x" } }, "run.adapter"],
      [{ ...line, run: { ...run, clock: "sun" } }, "run.clock"],
      [{ ...line, status: "<b>" }, "status"],
      [{ ...line, pipelines: ["matmul {"] }, "pipelines"],
      [{ ...line, ms: "1" }, "ms"],
      [{ kind: "whole", name: "load", dtype: "float32", unit: "ms", run }, "value"],
      [{ kind: "roofline", peakForm: "fma", run }, "bandwidthForm"],
      [{ ...line, kind: "peers", ways: [{}] }, "ways"],
    ];
    for (const [value, field] of broken)
      expect(() => parseLines(JSON.stringify(value), "f")).toThrow(
        `f: line 1 is no result of the benchmark: wrong ${field}, got {`,
      );
    expect(parseLines(JSON.stringify({ ...line, error: null }), "f")).toEqual([line]);
    expect(() => reportPage([])).toThrow("report: the files hold no results");
  });
});
