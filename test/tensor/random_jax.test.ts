import { describe, expect, test } from "vitest";
import { bits, foldIn, normal, PRNGKey, split, uniform, type JAXKey } from "../../src/tensor/random_jax.js";
import { readFixtureJSON } from "../support/files.js";
import { readGolden } from "../support/goldens.js";

interface ThreefryGolden {
  partitionable: boolean;
  seed: number;
  key: number[];
  split8: number[][];
  split2: number[][];
  foldIn1: number[];
  bits4: number[];
  bits5: number[];
  uniform4: number[];
  normal4: number[];
  normal5: number[];
  normal_1x4x8x8: number[];
}

const lists = (keys: JAXKey[]): number[][] => keys.map((key) => Array.from(key));

/** normal passes through log1p and a polynomial in float32; the fixture's bound is 1e-6. */
function near(got: ArrayLike<number>, wanted: ArrayLike<number>): void {
  expect(got).toHaveLength(wanted.length);
  for (let i = 0; i < got.length; i++) expect(Math.abs(got[i] - wanted[i])).toBeLessThan(1e-6);
}

test("keys, bits, uniforms and normals equal those of jax 0.10.2", async () => {
  const { jaxThreefry } = await readFixtureJSON<{ jaxThreefry: ThreefryGolden[] }>("schedulers/rng/dev.json");
  for (const golden of jaxThreefry) {
    const options = { partitionable: golden.partitionable };
    const key = PRNGKey(golden.seed);
    expect(Array.from(key)).toEqual(golden.key);
    expect(lists(split(key, 8, options))).toEqual(golden.split8);
    expect(lists(split(key, undefined, options))).toEqual(golden.split2);
    expect(Array.from(foldIn(key, 1))).toEqual(golden.foldIn1);
    expect(Array.from(bits(key, [4], options))).toEqual(golden.bits4);
    expect(Array.from(bits(key, [5], options))).toEqual(golden.bits5);
    expect(uniform(key, [4], options)).toEqual(Float32Array.from(golden.uniform4));
    near(normal(key, [4], options), golden.normal4);
    near(normal(key, [5], options), golden.normal5);
    near(normal(key, [1, 4, 8, 8], options), golden.normal_1x4x8x8);
  }
  expect(jaxThreefry).toHaveLength(4);
});

test("the default is the stream of the jax that ran diffusers' Flax pipelines (0.4.31)", async () => {
  const goldens = await readGolden("models/gold/flax/jax_prng.safetensors");
  const at = (name: string): number[] => Array.from(goldens.get(name)!.data);
  for (const mode of ["default", "partitionable"]) {
    const options = mode === "default" ? undefined : { partitionable: true };
    for (const seed of [0, 8, 42]) {
      const key = PRNGKey(seed);
      const name = `${mode}.seed${seed}`;
      expect(Array.from(key)).toEqual(at(`${name}.key`));
      for (const n of [1, 2, 3, 8]) expect(lists(split(key, n, options)).flat()).toEqual(at(`${name}.split${n}`));
      expect(Array.from(foldIn(key, 7))).toEqual(at(`${name}.fold_in7`));
      expect(Array.from(bits(key, [3, 4], options))).toEqual(at(`${name}.bits.3x4`));
      expect(Array.from(bits(key, [7], options))).toEqual(at(`${name}.bits.7`));
      expect(Array.from(uniform(key, [9], options))).toEqual(at(`${name}.uniform.9`));
      near(normal(key, [5], options), at(`${name}.normal.5`));
      near(normal(key, [1, 4, 8, 8], options), at(`${name}.normal.1x4x8x8`));
      near(normal(split(key, 1, options)[0], [1, 4, 8, 8], options), at(`${name}.normal.split1.0.1x4x8x8`));
    }
  }
});

describe("arguments", () => {
  test("seeds wrap to 32 bits, as with x64 off", () => {
    expect(Array.from(PRNGKey(-1))).toEqual([0, 0xffffffff]);
    expect(Array.from(PRNGKey(2n ** 32n + 3n))).toEqual([0, 3]);
    expect(() => PRNGKey(0.5)).toThrow(/PRNGKey.*got 0.5/);
  });

  test("what is no key or no count is refused", () => {
    expect(() => split(5 as unknown as JAXKey)).toThrow(/expected a key of 2 words/);
    expect(() => split(PRNGKey(0), -1)).toThrow(/from 0, got -1/);
    expect(() => normal(PRNGKey(0), [-1])).toThrow(/got \[-1\]/);
    expect(split(PRNGKey(0), 0)).toEqual([]);
    expect(normal(PRNGKey(0), [0])).toHaveLength(0);
  });
});
