// The parts of bench/peers that need none of the other libraries.
import { describe, expect, test } from "vitest";
import { peerArguments } from "../../bench/peers/arguments.js";
import { chosen, type Library, type Way } from "../../bench/peers/library.js";
import { encodeModel } from "../../bench/peers/onnx.js";
import { oneOpModels } from "../../bench/peers/onnx_models.js";
import { complaints, meanLines, peerHead, peerRow } from "../../bench/peers/peer_table.js";
import { permute, problemOf } from "../../bench/peers/problem.js";
import { fastest, geometricMean, means, ratioOf } from "../../bench/peers/ratios.js";
import { timeSideBySide, type WayTiming } from "../../bench/peers/side_by_side.js";
import { cut } from "../../bench/cut.js";
import { reportPage } from "../../bench/report.js";
import { parseLines, type PeerResult, type PeerWay } from "../../bench/results.js";
import { sd15Rows } from "../../bench/sd15.js";
import { quickRows } from "../../bench/shapes.js";

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];
/** A field that holds bytes, as protocol buffers write it: tag, length, contents. All here are shorter than 128. */
const field = (tag: number, ...contents: number[]): number[] => [tag, contents.length, ...contents];

describe("the ONNX encoder", () => {
  test("writes a tiny model as onnx.proto says", () => {
    const bytes = encodeModel({
      nodes: [
        {
          op: "Conv",
          inputs: ["x", "w"],
          outputs: ["y"],
          attributes: { axis: 1, eps: { float: 0.5 }, pads: [0, 300] },
          domain: "d",
        },
      ],
      inputs: [{ name: "x", shape: [1, 300] }],
      outputs: [],
      initializers: [
        { name: "w", shape: [1], values: Float32Array.of(1) },
        { name: "s", shape: [2], values: BigInt64Array.of(-1n, 1n) },
      ],
    });
    const node = [
      ...field(0x0a, ...ascii("x")),
      ...field(0x0a, ...ascii("w")),
      ...field(0x12, ...ascii("y")),
      ...field(0x22, ...ascii("Conv")),
      // name, then i (3) and type INT (20 -> tag 0xa0 0x01)
      ...field(0x2a, ...field(0x0a, ...ascii("axis")), 0x18, 1, 0xa0, 1, 2),
      // f (2): 0.5 is 3f000000
      ...field(0x2a, ...field(0x0a, ...ascii("eps")), 0x15, 0, 0, 0, 0x3f, 0xa0, 1, 1),
      // ints (8), 300 is 0xac 0x02
      ...field(0x2a, ...field(0x0a, ...ascii("pads")), 0x40, 0, 0x40, 0xac, 2, 0xa0, 1, 7),
      ...field(0x3a, ...ascii("d")),
    ];
    const weight = [8, 1, 0x10, 1, ...field(0x42, ...ascii("w")), ...field(0x4a, 0, 0, 0x80, 0x3f)];
    const two = [...new Array<number>(8).fill(255), 1, 0, 0, 0, 0, 0, 0, 0];
    const sizes = [8, 2, 0x10, 7, ...field(0x42, ...ascii("s")), ...field(0x4a, ...two)];
    const shape = field(0x12, ...field(0x0a, 8, 1), ...field(0x0a, 8, 0xac, 2));
    const input = [...field(0x0a, ...ascii("x")), ...field(0x12, ...field(0x0a, 8, 1, ...shape))];
    const graph = [
      ...field(0x0a, ...node),
      ...field(0x12, ...ascii("g")),
      ...field(0x2a, ...weight),
      ...field(0x2a, ...sizes),
      ...field(0x5a, ...input),
    ];
    const opsets = [...field(0x42, ...field(0x0a), 0x10, 17), ...field(0x42, ...field(0x0a, ...ascii("d")), 0x10, 1)];
    // The graph alone is longer than 127 bytes, so its length takes two.
    expect(graph.length).toBeGreaterThan(127);
    const length = [(graph.length % 128) + 128, graph.length >> 7];
    expect([...bytes]).toEqual([8, 8, 0x3a, ...length, ...graph, ...opsets]);
  });
});

const shapes = quickRows(sd15Rows()).map(({ shape }) => cut(shape, { flops: 1e6, elements: 2 ** 14 }));

describe("the quick list", () => {
  test("is a problem for other libraries, every op, with inputs that fill their shapes", () => {
    for (const shape of shapes) {
      const problem = problemOf(shape);
      expect(problem.inputs.length).toBeGreaterThan(1);
      expect(Number.isFinite(problem.reference(0))).toBe(true);
      for (const { model, feeds } of oneOpModels(problem))
        for (const { shape: sizes, values } of [...feeds, ...model.initializers])
          expect(sizes.reduce((a, b) => a * b, 1)).toBe(values.length);
    }
  });

  test("has models whose every input is fed, a weight, or made before", () => {
    for (const { model } of shapes.flatMap((shape) => oneOpModels(problemOf(shape)))) {
      const known = new Set([...model.inputs, ...model.initializers].map(({ name }) => name));
      for (const { inputs, outputs } of model.nodes) {
        for (const name of inputs) expect(known).toContain(name);
        for (const name of outputs) known.add(name);
      }
      expect(known).toContain("y");
    }
  });

  test("other ops are refused", () => {
    expect(() => problemOf({ op: "silu", elems: 8 })).toThrow("peers: silu is not compared");
    const strided = { N: 1, Cin: 4, H: 8, W: 8, Cout: 4, k: 3, stride: 2, pad: 1, OH: 4, OW: 4 };
    expect(() => problemOf({ op: "conv2d", ...strided })).toThrow(/only convolutions that keep the size/);
    const causal = { B: 1, heads: 1, Lq: 8, Lk: 8, D: 8, causal: true };
    expect(() => problemOf({ op: "attention", ...causal })).toThrow("peers: causal attention is not compared");
  });
});

test("permute transposes as numpy does", () => {
  const x = Float32Array.from({ length: 24 }, (_, i) => i);
  const y = permute(x, [2, 3, 4], [2, 0, 1]);
  // numpy: np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1).ravel()[:8]
  expect([...y.subarray(0, 8)]).toEqual([0, 4, 8, 12, 16, 20, 1, 5]);
  expect([...permute(y, [4, 2, 3], [1, 2, 0])]).toEqual([...x]);
});

const way = (library: string, ms?: number, more: Partial<PeerWay> = {}): PeerWay => ({
  library,
  way: "f",
  status: "ok",
  ms,
  ...more,
});
const op = (...ways: PeerWay[]): PeerResult => ({
  kind: "peers",
  op: "matmul",
  label: "8x8x8",
  dtype: "float32",
  counts: {},
  flops: 1024,
  ways,
});
const results = [
  op(way("ours", 2), way("a", 8), way("a", 6, { way: "g" }), way("b", undefined, { status: "wrong", message: "NaN" })),
  op(way("ours", 10), way("a", undefined, { status: "failed", message: "no" }), way("b", 5)),
];

describe("ratios", () => {
  test("are of the best right way to ours", () => {
    expect(fastest(results[0], (name) => name === "a")).toMatchObject({ way: "g", ms: 6 });
    expect(results.map(ratioOf)).toEqual([3, 0.5]);
    expect(ratioOf(op(way("ours", 2), way("b", undefined, { status: "wrong" })))).toBeUndefined();
    expect(ratioOf(op(way("ours", undefined, { status: "wrong" }), way("b", 1)))).toBeUndefined();
  });

  test("a wrong way is no time, even if it has one", () => {
    expect(ratioOf(op(way("ours", 2), way("a", 1, { status: "wrong" }), way("b", 4)))).toBe(2);
  });

  test("have a geometric mean over the ops that both have", () => {
    expect(geometricMean([2, 8])).toBeCloseTo(4, 12);
    expect(() => geometricMean([])).toThrow(RangeError);
    expect(() => geometricMean([1, 0])).toThrow("geometricMean: needs numbers above 0, got [1, 0]");
    expect(means(results)).toEqual([
      { name: "a", mean: expect.closeTo(3, 12) as number, ops: 1 },
      { name: "b", mean: expect.closeTo(0.5, 12) as number, ops: 1 },
      { name: "best peer", mean: expect.closeTo(Math.sqrt(1.5), 12) as number, ops: 2 },
    ]);
  });
});

describe("the table", () => {
  test("shows times, what is wrong, and the ratio", () => {
    const names = ["ours", "a", "b"];
    const cells = (line: string): string[] => line.split(/\s{2,}|(?<=\d) (?=\D)/).filter((cell) => cell !== "");
    expect(peerHead(names)).toMatch(/^op \(median ms\)\s+shape\s+ours\s+a\s+b best\/ours best peer$/);
    expect(cells(peerRow(results[0], names))).toEqual(["matmul", "8x8x8", "2.00", "6.00", "wrong", "3.00", "x a: g"]);
    expect(peerRow(results[1], names)).toMatch(/10\.0\s+-\s+5\.00\s+0\.50 x b: f$/);
    expect(complaints(results[0])).toEqual(["  b f wrong: NaN"]);
    expect(meanLines(results).at(-1)).toBe("best peer / ours: 1.22 x, geometric mean over 2 of 2 ops");
    expect(meanLines([op(way("ours", 1))])).toEqual(["best peer: no op in common"]);
  });

  test("is part of the report", () => {
    const run = { date: "2026-01-02T03:04:05Z", adapter: "an adapter", loadAverage: 0, clock: "waits" };
    const text = results
      .map((result) => JSON.stringify({ ...result, run: { ...run, peers: { a: "1.2" } } }))
      .join("\n");
    const page = reportPage(parseLines(text, "x"));
    for (const part of ["best peer / ours", "<td>wrong</td>", "a 1.2", "b f wrong: NaN"]) expect(page).toContain(part);
  });
});

describe("timing side by side", () => {
  /** A library whose run takes so many milliseconds. */
  const library = (name: string, ms: number, log: string[]): { library: Library; way: Way } => {
    const run = (): Promise<void> => {
      log.push(name);
      return new Promise((resolve) => setTimeout(resolve, ms));
    };
    const device = { queue: { onSubmittedWorkDone: () => Promise.resolve() } } as unknown as GPUDevice;
    const nothing = (): void => undefined;
    const item = { name, result: () => Promise.resolve([]), run, dispose: nothing };
    return {
      library: { name, version: "", device, ways: () => Promise.resolve([]), flush: nothing, close: nothing },
      way: item,
    };
  };

  test("takes turns, and fills batches of the least length", async () => {
    const log: string[] = [];
    const runners = [library("slow", 15, log), library("quick", 3, log)];
    const [slow, quick] = (await timeSideBySide(runners, { budget: 0, batch: 10 })) as WayTiming[];
    expect(slow).toMatchObject({ batches: 3, runs: 1 });
    expect(quick.batches).toBe(3);
    expect(quick.runs).toBeGreaterThan(1);
    expect(slow.median).toBeGreaterThan(quick.median);
    const turns = log.filter((name, i) => name !== log[i - 1]);
    expect(turns.slice(-6)).toEqual(["slow", "quick", "slow", "quick", "slow", "quick"]);
  });

  test("goes on without those that throw, at first or later", async () => {
    const log: string[] = [];
    const runners = ["at once", "later", "good"].map((name) => library(name, 10, log));
    const failAfter = (turns: number, { way }: (typeof runners)[0]): void => {
      const { run } = way;
      way.run = () => (turns-- > 0 ? run() : Promise.reject(new Error(way.name)));
    };
    failAfter(0, runners[0]);
    failAfter(3, runners[1]);
    const times = await timeSideBySide(runners, { budget: 0, batch: 10 });
    expect(times.slice(0, 2)).toEqual([{ error: new Error("at once") }, { error: new Error("later") }]);
    expect(times[2]).toMatchObject({ batches: 3 });
    expect(log.filter((name) => name === "later").length).toBe(3);
  });
});

test("--only leaves ours and those named", () => {
  const sources = ["ours", "a", "b"].map((name) => ({
    name,
    open: () => Promise.reject(new Error("not opened here")),
  }));
  const names = (only?: string[]): string[] => chosen(sources, only).map(({ name }) => name);
  expect([names(), names(["b"]), names(["ours"])]).toEqual([["ours", "a", "b"], ["ours", "b"], ["ours"]]);
  expect(() => names(["c"])).toThrow('--only: there is no "c" among ours, a, b');
});

test("arguments", () => {
  expect(peerArguments(["--quick", "--json", "f"])).toEqual({ quick: true, filter: "", json: "f", where: "node" });
  expect(() => peerArguments(["--where", "deno"])).toThrow('--where must be node or chrome, got "deno"');
  expect(peerArguments(["--only", "a,b"]).only).toEqual(["a", "b"]);
  expect(() => peerArguments(["--where", "chrome", "--tinygrad", "python3"])).toThrow("--tinygrad is no library");
  expect(() => peerArguments(["all"])).toThrow('bench takes options only, got "all"');
});
