import { beforeAll, describe, expect, test } from "vitest";
import { Generator, randnTensor, type RandomDtype } from "../../src/tensor/random.js";
import { readFixtureJSON } from "../support/files.js";
import { floats, readGolden, type Golden } from "../support/goldens.js";
import { expectWithin } from "../support/timing.js";

interface Summary {
  shape: number[];
  values?: number[];
  first8?: number[];
  last8?: number[];
  sum?: number;
  sumAbs?: number;
  sha256?: string;
  tensor?: string;
}
type TorchCase = Summary & { id: string; kind: "randn" | "rand"; dtype: RandomDtype; seed: number; nextRand: number };
type Op = ["randn" | "rand", number[]] | ["randint", number, number, number[]] | ["manual_seed", number];
interface RNGGoldens {
  torchCpu: TorchCase[];
  sequences: { seed: number; ops: Op[]; results: (Summary | null)[] }[];
  randint: { seed: number; low: number; high: number; values: number[]; nextRand: number }[];
  randnTensor: (Summary & { id: string; generator: number | number[]; dtype: RandomDtype })[];
  cudaPhilox: (Summary & { seed: number; first16: number[]; secondCall_first16: number[] })[];
}

/** Of randn the fixture says: float32 of 16 and more bit for bit, fewer within an ulp, float64 within 1e-12, halves within an ulp. */
function tolerance({ kind, dtype, shape }: Pick<TorchCase, "kind" | "dtype" | "shape">): number {
  if (kind === "rand") return 0;
  if (dtype === "float64") return 1e-12;
  if (dtype === "float32") return shape.reduce((a, b) => a * b) < 16 ? 3e-7 : 0;
  return dtype === "float16" ? 2e-3 : 1.6e-2;
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Infinity;
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - Math.fround(b[i])), 0), 0);
};

async function sha256(data: Float32Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", data);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let goldens: RNGGoldens;
let tensors: Map<string, Golden>;
beforeAll(async () => {
  goldens = await readFixtureJSON<RNGGoldens>("schedulers/rng/dev.json");
  tensors = await readGolden("schedulers/rng/dev.safetensors");
});

describe("torch's CPU generator", () => {
  test("gives torch 2.13's numbers in 165 cases, and uses as many words", async () => {
    const wrong: string[] = [];
    for (const golden of goldens.torchCpu) {
      const { id, kind, dtype, seed, shape, nextRand } = golden;
      const generator = new Generator("cpu").manualSeed(seed);
      const got = generator[kind](shape, { dtype });
      const exact = (values: ArrayLike<number>): ArrayLike<number> =>
        dtype === "float64" ? values : Float32Array.from(values);
      const compare = (part: ArrayLike<number>, wanted: number[]): void => {
        const list = exact(wanted);
        for (let i = 0; i < list.length; i++) {
          if (!(Math.abs(part[i] - list[i]) <= tolerance(golden)))
            wrong.push(`${id}[${i}]: ${part[i]}, not ${list[i]}`);
        }
      };
      if (golden.values) compare(got, golden.values);
      if (golden.first8) compare(got.subarray(0, 8), golden.first8);
      if (golden.last8) compare(got.subarray(-8), golden.last8);
      if (golden.sha256 && dtype === "float32") {
        if ((await sha256(got as Float32Array<ArrayBuffer>)) !== golden.sha256) wrong.push(`${id}: other bits`);
      }
      if (generator.rand([1])[0] !== Math.fround(nextRand)) wrong.push(`${id}: another number of words`);
    }
    expect(wrong).toEqual([]);
    expect(goldens.torchCpu).toHaveLength(165);
  });

  test("gives whole tensors bit for bit", () => {
    for (const name of [
      "randn/float32/0/16384",
      "randn/float32/42/16384",
      "randn/float32/2147483648/16384",
      "randn/float32/1/1x4x8x8",
    ]) {
      const golden = tensors.get(name)!;
      const got = new Generator().manualSeed(Number(name.split("/")[2])).randn(golden.shape);
      expect(worst(got, floats(tensors, name))).toBe(0);
    }
  });

  test("carries the second of a pair from one small call to the next", () => {
    for (const { seed, ops, results } of goldens.sequences) {
      const generator = new Generator("cpu").manualSeed(seed);
      ops.forEach((op, i) => {
        if (op[0] === "manual_seed") return void generator.manualSeed(op[1]);
        const got = op[0] === "randint" ? generator.randint(op[1], op[2], op[3]) : generator[op[0]](op[1]);
        const { values, first8, last8 } = results[i] as Summary;
        if (values) expect(worst(got, values)).toBeLessThanOrEqual(3e-7);
        if (first8) expect(worst(got.slice(0, 8), first8)).toBe(0);
        if (last8) expect(worst(got.slice(-8), last8)).toBe(0);
      });
    }
  });

  test("draws whole numbers of small and large ranges", () => {
    for (const { seed, low, high, values, nextRand } of goldens.randint) {
      const generator = new Generator("cpu").manualSeed(seed);
      expect(Array.from(generator.randint(low, high, [values.length]))).toEqual(values);
      expect(generator.rand([1])[0]).toBe(Math.fround(nextRand));
    }
  });

  test("follows one generator through many calls of every type", async () => {
    const streams = await readGolden("models/gold/rng/torch_cpu.safetensors");
    const generators = new Map<string, Generator>();
    let count = 0;
    for (const key of [...streams.keys()].sort()) {
      const [, seed, where, kind, suffix] =
        /^seed(\d+)\.(\d\d|fresh|fresh\.then)\.(randn|rand|randint)(?:_(f16|bf16|f64))?\./.exec(key)!;
      const name = seed + where.slice(0, 5).replace(/\d+/, "");
      if (!generators.has(name)) generators.set(name, new Generator().manualSeed(BigInt(seed)));
      const generator = generators.get(name)!;
      const { shape, data } = streams.get(key)!;
      const dtype = ({ f16: "float16", bf16: "bfloat16", f64: "float64" }[suffix] ?? "float32") as RandomDtype;
      const got =
        kind === "randint" ? generator.randint(0, 1000, shape) : generator[kind as "rand" | "randn"](shape, { dtype });
      const limit = kind === "randint" ? 0 : tolerance({ kind: kind as "rand", dtype, shape });
      const most = Array.from(got).reduce((most, value, i) => Math.max(most, Math.abs(value - data[i])), 0);
      if (most > limit) throw new Error(`${key}: off by ${most}`);
      count++;
    }
    expect(count).toBe(streams.size);
  });
});

test("CUDA's Philox", () => {
  for (const { seed, shape, first16, last8, secondCall_first16, tensor } of goldens.cudaPhilox) {
    const generator = new Generator("cuda").manualSeed(seed);
    const got = generator.randn(shape);
    expect(worst(got.slice(0, 16), first16)).toBeLessThan(1e-6);
    expect(worst(got.slice(-8), last8!)).toBeLessThan(1e-6);
    expect(worst(got, floats(tensors, tensor!))).toBeLessThan(1e-6);
    expect(worst(generator.randn(shape).slice(0, 16), secondCall_first16)).toBeLessThan(1e-6);
  }
  const generator = new Generator("cuda").manualSeed(3);
  const uniforms = generator.rand([300_000]);
  expect(uniforms.every((value) => value >= 0 && value < 1)).toBe(true);
  expect(Math.abs(uniforms.reduce((sum, value) => sum + value) / 300_000 - 0.5)).toBeLessThan(0.005);
  // More values than threads: the others of the four normals, still normals.
  const many = generator.randn([300_000]);
  expect(Math.abs(many.reduce((sum, value) => sum + value) / 300_000)).toBeLessThan(0.01);
  expect(Math.abs(many.reduce((sum, value) => sum + value * value) / 300_000 - 1)).toBeLessThan(0.02);
  expect(generator.randint(5, 9, [1000]).every((value) => value >= 5 && value < 9)).toBe(true);
  expect(() => generator.randn([2], { dtype: "float64" })).toThrow(/float64 is not available/);
});

describe("randnTensor", () => {
  test("draws as diffusers.utils.randn_tensor", async () => {
    for (const { generator, shape, dtype, tensor } of goldens.randnTensor) {
      const seeds = Array.isArray(generator) ? generator : [generator];
      const list = seeds.map((seed) => new Generator("cpu").manualSeed(seed));
      const got = randnTensor(shape, { generator: Array.isArray(generator) ? list : list[0], dtype });
      expect(worst(got, floats(tensors, tensor!))).toBeLessThanOrEqual(dtype === "float16" ? 2e-3 : 0);
    }
  });

  test("without a generator the numbers differ; a list must be as long as the batch", () => {
    expect(worst(randnTensor([64]), randnTensor([64]))).toBeGreaterThan(0);
    const list = [new Generator(), new Generator()];
    expect(() => randnTensor([3, 4], { generator: list })).toThrow(
      "You have passed a list of generators of length 2, but requested an effective batch size of 3. " +
        "Make sure the batch size matches the length of the generators.",
    );
    expect(() => randnTensor([3, 4], { generator: [] })).toThrow(/length 0/);
  });
});

describe("Generator", () => {
  const first = (seed: number | bigint): number => new Generator().manualSeed(seed).rand([1])[0];

  test("takes seeds from -2^63 to 2^64-1, of which the CPU uses the low 32 bits", () => {
    expect(first(2n ** 32n + 5n)).toBe(first(5));
    expect(first(-1)).toBe(first(2 ** 32 - 1));
    expect(first(2n ** 64n - 1n)).toBe(first(-1n));
    expect(new Generator().manualSeed(-1).initialSeed()).toBe(2n ** 64n - 1n);
    expect(new Generator().manualSeed(8).initialSeed()).toBe(8);
    expect(new Generator().initialSeed()).toBe(67280421310721);
    const philox = (seed: bigint): number => new Generator("cuda").manualSeed(seed).randn([1])[0];
    expect(philox(2n ** 32n + 5n) === philox(5n)).toBe(false);
    for (const seed of [2n ** 64n, -(2n ** 63n) - 1n, 1.5, NaN, Infinity]) {
      expect(() => new Generator().manualSeed(seed)).toThrow(/^Generator\.manualSeed: /);
    }
    expect(() => new Generator("mps")).toThrow(/must be "cpu" or "cuda", got "mps"/);
    expect(() => new Generator().manualSeed("8" as unknown as number)).toThrow(/whole number, got "8"/);
  });

  test("seed() gives the seed it chose", () => {
    const generator = new Generator();
    const seed = generator.seed();
    expect(generator.initialSeed()).toBe(seed);
    expect(worst(generator.randn([32]), new Generator().manualSeed(seed).randn([32]))).toBe(0);
  });

  test("a state brings back the stream", () => {
    for (const device of ["cpu", "cuda"]) {
      const generator = new Generator(device).manualSeed(4);
      generator.randn([3]);
      const state = generator.getState();
      const once = [generator.randn([5]), generator.rand([7])];
      const other = new Generator(device).setState(state);
      expect(worst(other.randn([5]), once[0])).toBe(0);
      expect(worst(other.rand([7]), once[1])).toBe(0);
    }
    expect(() => new Generator("cuda").setState(new Generator("cpu").getState())).toThrow(/state of a cuda generator/);
  });

  test("refuses shapes, ranges and types that are none", () => {
    const generator = new Generator();
    expect(generator.randn([0, 4])).toHaveLength(0);
    expect(generator.randn([])).toHaveLength(1);
    expect(() => generator.randn([-1])).toThrow(/whole numbers from 0.*got \[-1\]/);
    expect(() => generator.rand([1.5])).toThrow(/^Generator\.rand: /);
    expect(() => generator.randn([1e5, 1e5])).toThrow(/2\^31/);
    expect(() => generator.randint(3, 3, [1])).toThrow(/low < high, got 3 and 3/);
    expect(() => generator.randn([1], { dtype: "int8" as "float32" })).toThrow(/dtype must be.*got "int8"/);
  });

  test("draws a million normals in well under a second", async () => {
    const generator = new Generator().manualSeed(1);
    generator.randn([20_000]);
    await expectWithin(1000, () => generator.randn([1_000_000]));
  });
});
