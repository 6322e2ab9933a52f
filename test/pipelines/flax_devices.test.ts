// Many pictures on many devices: here two devices of one adapter.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FlaxStableDiffusionPipeline, ReplicatedParams } from "../../src/index.js";
import {
  deviceCount,
  devices,
  normal,
  PRNGKey,
  replicate,
  shard,
  split,
  Tensor,
  type FlaxDiffusionScheduler,
  type FlaxParams,
  type JAXKey,
} from "../../src/index.js";
import { flaxRuns, loadFlax } from "../support/flax.js";
import { readGolden } from "../support/goldens.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { differences } from "../support/pipelines.js";

const SCHEDULER = "FlaxDPMSolverMultistepScheduler";
await testDevice();
const two = await devices({ count: 2 });

describe("devices", () => {
  test("the default device is the first; as many as asked for, the same ones each time", async () => {
    expect(two).toHaveLength(2);
    expect(two[0]).toBe(await testDevice());
    expect(two[1]).not.toBe(two[0]);
    expect(await devices({ count: 2 })).toEqual(two);
    const [one, three] = await Promise.all([devices({ count: 1 }), devices({ count: 3 })]);
    expect(one).toEqual([two[0]]);
    expect(three.slice(0, 2)).toEqual(two);
    three[2].destroy();
    expect((await devices({ count: 3 }))[2]).not.toBe(three[2]);
    (await devices({ count: 3 }))[2].destroy();
    expect(await deviceCount()).toBeGreaterThanOrEqual(1);
    expect(await deviceCount({ count: 2 })).toBe(2);
    await expect(devices({ count: 0 })).rejects.toThrow(/from 1 to 1024, got 0/);
  });

  test("shard splits the leading axis, and says what to do with an uneven batch", async () => {
    const x = Tensor.from(
      Int32Array.from({ length: 12 }, (_, i) => i),
      [4, 3],
    );
    const sharded = await shard(x, two);
    expect(sharded.shape).toEqual([2, 2, 3]);
    expect(Array.from(await sharded.data())).toEqual(Array.from(await x.data()));
    const odd = Tensor.from([1, 2, 3], [3, 1]);
    await expect(shard([1, 2] as never, two)).rejects.toThrow(
      "shard: takes a Tensor, such as prepareInputs() gives, got [1, 2]; wrap it: Tensor.from(data, shape)",
    );
    await expect(shard(odd, two)).rejects.toThrow(
      /3 rows do not split evenly over 2 devices; take a multiple such as 2/,
    );
    for (const tensor of [x, sharded, odd]) tensor.dispose();
  });
});

describe("pictures of two devices", () => {
  let pipeline: FlaxStableDiffusionPipeline;
  let params: FlaxParams;
  let replicated: ReplicatedParams;
  const prompts = ["a cat", "two dogs", "a red ball", "the sea"];
  const keys = split(PRNGKey(7), 2);
  beforeAll(async () => {
    [pipeline, params] = await loadFlax(SCHEDULER);
    replicated = await replicate(params, two);
    // The first picture makes what is derived from weights and kept with them: the filled columns of the VAE's last convolution.
    await together();
    await alone();
  });
  afterAll(() => {
    replicated.dispose();
    params.dispose();
  });
  checkLeaks();

  /** The four prompts on both devices, two each. */
  async function together(given = replicated, rng: readonly JAXKey[] = keys): Promise<Float32Array> {
    const ids = pipeline.prepareInputs(prompts);
    const sharded = await shard(ids, two);
    try {
      const { images } = await pipeline(sharded, given, rng, 5, { jit: true });
      expect(images.shape).toEqual([2, 2, 32, 32, 3]);
      const data = (await images.data()) as Float32Array;
      images.dispose();
      return data;
    } finally {
      for (const tensor of [ids, sharded]) tensor.dispose();
    }
  }

  /** The same, one after the other on the first device. */
  async function alone(): Promise<Float32Array> {
    const all: number[] = [];
    for (const [i, key] of keys.entries()) {
      const ids = pipeline.prepareInputs(prompts.slice(2 * i, 2 * i + 2));
      const { images } = await pipeline(ids, params, key, 5);
      expect(images.shape).toEqual([2, 32, 32, 3]);
      all.push(...(await images.data()));
      for (const tensor of [ids, images]) tensor.dispose();
    }
    return Float32Array.from(all);
  }

  test("are those of one device, one after the other, bit for bit", async () => {
    expect(replicated.devices).toEqual(two);
    expect(replicated.replicas[0]).toBe(params);
    expect(await together()).toEqual(await alone());
  });

  test("are those of diffusers with jit=True on two devices (the guide's snippet)", async () => {
    const run = (await flaxRuns()).find(({ id }) => id.endsWith("devices2"))!;
    const goldens = await readGolden(`models/${run.file}`);
    const rng = split(PRNGKey(0), 2);
    expect(rng.flatMap((key) => Array.from(key))).toEqual(Array.from(goldens.get("prng_split")!.data));
    const ids = pipeline.prepareInputs(new Array<string>(2).fill(run.prompt));
    const sharded = await shard(ids, two);
    expect(Array.from(await sharded.data())).toEqual(Array.from(goldens.get("prompt_ids")!.data));
    const { images } = await pipeline(sharded, replicated, rng, run.steps, { jit: true });
    const golden = goldens.get("image_jit")!;
    expect(images.shape).toEqual(golden.shape);
    expect(differences(await images.data(), golden.data).worst).toBeLessThan(2e-4);
    const flat = images.reshape([2, ...images.shape.slice(-3)]);
    const pictures = await pipeline.numpyToPil(flat);
    expect(pictures.map(({ width, height }) => [width, height])).toEqual([[32, 32], [32, 32]]); // prettier-ignore
    // round half to even of 255 x
    const rounded = Array.from((await flat.data()).slice(0, 3072), (v) => Math.round(Math.fround(v * 255)));
    expect(Array.from(pictures[0].data)).toEqual(rounded.map(Math.abs)); // no -0
    await expect(pipeline.numpyToPil(images)).rejects.toThrow(/reshape/);
    await expect(pipeline.numpyToPil(pictures as never)).rejects.toThrow(/^numpyToPil: takes a Tensor, .* got /);
    for (const tensor of [ids, sharded, images, flat]) tensor.dispose();
  });

  test("take latents and negative prompts per device, and sizes", async () => {
    const ids = pipeline.prepareInputs(["a cat", "a dog"]);
    const negative = pipeline.prepareInputs(["blurry", "dark"]);
    // The tiny VAE scales by 4.
    const latents = Tensor.from(normal(PRNGKey(1), [2, 4, 10, 18]), [2, 4, 10, 18]);
    const [promptIds, negPromptIds, noise] = await Promise.all([ids, negative, latents].map((x) => shard(x, two)));
    const options = { guidanceScale: 3, height: 40, width: 72 };
    const given = { ...options, latents: noise, negPromptIds };
    const { images } = await pipeline(promptIds, replicated, keys, 3, { ...given, jit: true });
    expect(images.shape).toEqual([2, 1, 40, 72, 3]);
    // Deterministic but for the noise, which is given: both pictures on one device are the same two.
    const whole = { ...options, latents, negPromptIds: negative };
    const { images: wanted } = await pipeline(ids, params, keys[0], 3, whole);
    expect(differences(await images.data(), await wanted.data()).worst).toBeLessThan(1e-4);
    await expect(
      pipeline(promptIds, replicated, keys, 3, { ...given, jit: true, height: 16, width: 16 }),
    ).rejects.toThrow(/`latents` must be \[2, 1, 4, 4, 4\].*got \[2, 1, 4, 10, 18\]/);
    await expect(pipeline(promptIds, replicated, keys, 2, { jit: true, height: 20 })).rejects.toThrow(/divisible by 8/);
    for (const tensor of [ids, negative, latents, promptIds, negPromptIds, noise, images, wanted]) tensor.dispose();
  });

  test("a device that is lost on the way: another one draws its pictures", async () => {
    const wanted = await together();
    const [, fresh] = await devices({ count: 2 });
    const lossy = await replicate(params, [two[0], fresh]);
    const restore = atStep(pipeline.scheduler, 4, () => fresh.destroy());
    expect(await together(lossy)).toEqual(wanted);
    restore();
    expect(fresh.isLost).toBe(true);
    // Later calls do without it.
    expect(await together(lossy)).toEqual(wanted);
    lossy.dispose();
  });

  test("all devices lost: the error says which pictures are missing", async () => {
    const extra = (await devices({ count: 4 })).slice(2);
    const lossy = await replicate(params, extra);
    const restore = atStep(pipeline.scheduler, 5, () => extra.forEach((device) => device.destroy()));
    await expect(together(lossy)).rejects.toThrow(/pictures 1 to 2, 3 to 4 are missing: every device.*lost/);
    restore();
    lossy.dispose();
  });

  test("an abort stops every device", async () => {
    const controller = new AbortController();
    const ids = pipeline.prepareInputs(prompts);
    const sharded = await shard(ids, two);
    const restore = atStep(pipeline.scheduler, 3, () => controller.abort(new Error("enough")));
    const run = pipeline(sharded, replicated, keys, 50, { jit: true, signal: controller.signal });
    await expect(run).rejects.toThrow("enough");
    restore();
    for (const tensor of [ids, sharded]) tensor.dispose();
  });

  test("wrong arguments are errors that name the cure", async () => {
    const ids = pipeline.prepareInputs(prompts);
    const sharded = await shard(ids, two);
    const call = (...args: unknown[]): Promise<unknown> => (pipeline as unknown as (...a: unknown[]) => Promise<unknown>)(...args); // prettier-ignore
    await expect(call(sharded, params, keys, 2, { jit: true })).rejects.toThrow(/await replicate\(params\)/);
    await expect(call(ids, replicated, keys[0], 2)).rejects.toThrow(/jit: true/);
    await expect(call(ids, replicated, keys, 2, { jit: true })).rejects.toThrow(
      /\[devices, batch, tokens\].*got \[4, 77\]/,
    );
    await expect(call(sharded, replicated, keys[0], 2, { jit: true })).rejects.toThrow(/a key per device.*got one key/);
    await expect(call(ids, params, keys, 2)).rejects.toThrow(/must be a key.*got 2 keys/);
    await expect(call(prompts, params, keys[0], 2)).rejects.toThrow(/`promptIds` must be a Tensor/);
    await expect(call(ids, params, keys[0], 0)).rejects.toThrow(/`numInferenceSteps`.*got 0/);
    await expect(call(ids, params, keys[0], 1e7)).rejects.toThrow(/numInferenceSteps.*to 100000, got 10000000/);
    await expect(call(ids, params, keys[0], 2, { guidanceScale: NaN })).rejects.toThrow(/`guidanceScale`/);
    expect(() => pipeline.prepareInputs(3 as unknown as string)).toThrow(TypeError);
    await expect(replicate({} as FlaxParams)).rejects.toThrow(/fromPretrained/);
    await expect(replicate(params, [two[0], two[0]])).rejects.toThrow(/different devices/);
    for (const tensor of [ids, sharded]) tensor.dispose();
  });
});

/** Runs `work` before the n-th step of all devices together. */
function atStep(scheduler: FlaxDiffusionScheduler, n: number, work: () => void): () => void {
  const original = scheduler.step.bind(scheduler);
  let steps = 0;
  const step: typeof scheduler.step = (...args) => {
    if (++steps === n) work();
    return original(...args);
  };
  Object.defineProperty(scheduler, "step", { value: step, configurable: true });
  return () => void delete (scheduler as { step?: unknown }).step;
}
