import { expect, test } from "vitest";
import {
  CLIPImageProcessor,
  devices,
  FlaxStableDiffusionPipeline,
  openRepository,
  PRNGKey,
  replicate,
  shard,
  split,
  StableDiffusionSafetyChecker,
  type FlaxParams,
  type Repository,
} from "../../src/index.js";
import { FLAX_REPO } from "../support/flax.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { keptFiles } from "../support/kept_files.js";
import { warnings } from "../support/warnings.js";

/** The repository of the Flax tests with the safety checker of another one. */
async function safeRepository(): Promise<Repository> {
  const [plain, safe] = await Promise.all([
    openRepository(FLAX_REPO),
    openRepository(fixturePath(`models/repos/sd15-safe`)),
  ]);
  const index = {
    ...(await readFixtureJSON<object>("models/repos/flax-sd15/model_index.json")),
    safety_checker: ["stable_diffusion", "FlaxStableDiffusionSafetyChecker"],
    feature_extractor: ["transformers", "CLIPFeatureExtractor"],
  };
  const text = new TextEncoder().encode(JSON.stringify(index));
  return {
    ...plain,
    async open(path, options) {
      if (path === "model_index.json")
        return { path, size: text.length, read: async (start = 0, end = text.length) => text.slice(start, end) };
      return (/^(safety|feature)/.test(path) ? safe : plain).open(path, options);
    },
  };
}

const load = async (options: { safety_checker?: null } = {}): Promise<[FlaxStableDiffusionPipeline, FlaxParams]> =>
  FlaxStableDiffusionPipeline.fromPretrained(await safeRepository(), {
    ...options,
    variant: "bf16",
    device: await testDevice(),
  });

await testDevice();
const two = await devices({ count: 2 });

test("a Flax pipeline has the pictures black that its safety checker finds something in, on one device and on two", async () => {
  const said: string[][] = [];
  let loaded: Awaited<ReturnType<typeof load>> | undefined;
  said.push((await warnings(async () => void (loaded = await load()))).filter((text) => !text.includes("variant")));
  const [pipeline, params] = loaded!;
  expect(params.safety_checker).toBeInstanceOf(StableDiffusionSafetyChecker);
  expect(pipeline.feature_extractor).toBeInstanceOf(CLIPImageProcessor);
  expect(pipeline.config.safety_checker).toEqual(["stable_diffusion", "FlaxStableDiffusionSafetyChecker"]);

  const kept = keptFiles();
  await pipeline.savePretrained(kept, { params });
  const index = JSON.parse(kept.files.get("model_index.json")!) as Record<string, unknown>;
  expect(index.safety_checker).toEqual(["stable_diffusion", "StableDiffusionSafetyChecker"]);
  expect(index.feature_extractor).toEqual(["transformers", "CLIPImageProcessor"]);
  for (const file of ["safety_checker/model.safetensors", "feature_extractor/preprocessor_config.json"])
    expect(kept.files.has(file), file).toBe(true);

  const texts = ["a cat", "two dogs", "a red ball", "the sea"];
  const size = { height: 16, width: 24 };
  const ids = pipeline.prepareInputs(texts);
  const checker = params.safety_checker;
  params.safety_checker = null;
  const plain = await pipeline(ids, params, PRNGKey(0), 2, size);
  expect(plain.nsfwContentDetected).toBeNull();
  params.safety_checker = checker;
  // What it says of the pictures as they are.
  const { pixelValues } = pipeline.feature_extractor!(await pipeline.numpyToPil(plain.images), {
    device: params.device,
  });
  const { hasNsfwConcepts: flags } = await checker!.forward(pixelValues);
  expect(flags).toEqual([true, false, true, true]);

  let result: Awaited<ReturnType<typeof pipeline.call>> | undefined;
  said.push(await warnings(async () => void (result = await pipeline(ids, params, PRNGKey(0), 2, size))));
  expect(said.map(({ length }) => length)).toEqual([0, 1]);
  expect(said[1][0]).toContain("Potential NSFW content was detected");
  expect(result!.nsfwContentDetected).toEqual(flags);
  const each = plain.images.size / texts.length;
  const wanted = Float32Array.from(await plain.images.data(), (value, i) => (flags[Math.floor(i / each)] ? 0 : value));
  expect(await result!.images.data()).toEqual(wanted);

  // Two pictures on each device.
  const replicated = await replicate(params, two);
  const sharded = await shard(ids, two);
  const many = await pipeline(sharded, replicated, split(PRNGKey(3), 2), 2, { ...size, jit: true });
  expect(many.images.shape).toEqual([2, 2, 16, 24, 3]);
  expect(many.nsfwContentDetected).toEqual([false, true, true, false]);
  const values = await many.images.data();
  const isBlack = texts.map((_, i) => values.slice(i * each, (i + 1) * each).every((value) => value === 0));
  expect(many.nsfwContentDetected).toEqual(isBlack);
  for (const owned of [ids, sharded, replicated, plain.images, result!.images, many.images, pixelValues, params])
    owned.dispose();
});

test("null leaves a Flax pipeline's safety checker out, with diffusers' warning", async () => {
  let loaded: Awaited<ReturnType<typeof load>> | undefined;
  const said = await warnings(async () => void (loaded = await load({ safety_checker: null })));
  expect(said.join()).toContain("You have disabled the safety checker for FlaxStableDiffusionPipeline");
  const [pipeline, params] = loaded!;
  expect([params.safety_checker, pipeline.feature_extractor]).toEqual([null, null]);
  expect(pipeline.config.safety_checker).toEqual([null, null]);
  params.dispose();
});
