import { describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  DDPMScheduler,
  FlaxUNet2DConditionModel,
  foldIn,
  LMSDiscreteScheduler,
  normal,
  PNDMScheduler,
  PRNGKey,
  split,
  StableDiffusionPipeline,
  Tensor,
  type NoiseSource,
  type Scheduler,
} from "../../src/index.js";
import { readFixtureJSON } from "../support/files.js";
import { FLAX_REPO, flaxRuns, idTensor, loadFlax, recordSteps } from "../support/flax.js";
import { readGolden } from "../support/goldens.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { asTensor, expectMatches } from "../support/models.js";
import { differences } from "../support/pipelines.js";

const runs = await flaxRuns();
await testDevice();
const SD15 = await readFixtureJSON<object>("models/repos/flax-sd15/scheduler/scheduler_config.json");

describe("models as diffusers' Flax classes compute them", () => {
  checkLeaks();

  test("the UNet has the gelu of JAX, the VAE is that of torch", async () => {
    const goldens = await readGolden("models/gold/flax/units.safetensors");
    const options = { variant: "bf16" };
    const unet = await FlaxUNet2DConditionModel.fromPretrained(FLAX_REPO, { ...options, subfolder: "unet" });
    const [sample, context] = [asTensor(goldens, "in.sample"), asTensor(goldens, "in.encoder_hidden_states")];
    const { sample: predicted } = unet.forward(sample, 801, context);
    // torch's own output is 2e-4 away; norms of transformers have eps 1e-5 in Flax and 1e-6 here.
    await expectMatches(predicted, goldens.get("out.flax_unet"), "unet", 1e-4);
    const vae = await AutoencoderKL.fromPretrained(FLAX_REPO, { ...options, subfolder: "vae" });
    const latents = asTensor(goldens, "in.vae_latents");
    const { sample: decoded } = vae.decode(latents);
    await expectMatches(decoded, goldens.get("out.flax_decoded"), "vae", 1e-4);
    for (const owned of [sample, context, predicted, latents, decoded, unet, vae]) owned.dispose();
  });
});

describe("FlaxStableDiffusionPipeline draws what diffusers' Flax pipeline draws", () => {
  checkLeaks();

  for (const run of runs)
    if (!run.id.endsWith("devices2"))
      test(run.id, async () => {
        const goldens = await readGolden(`models/${run.file}`);
        const bf16 = run.dtype === "bf16";
        const [pipeline, params] = await loadFlax(run.scheduler, { dtype: bf16 ? "bfloat16" : "float32" });
        const prompt = goldens.get("prompt_ids")!;
        const batch = prompt.shape[0];
        const ids = pipeline.prepareInputs(new Array<string>(batch).fill(run.prompt));
        if (batch === 1) expect(await ids.data()).toEqual(Int32Array.from(prompt.data));
        const positive = batch === 1 ? ids : idTensor(prompt);
        const negPromptIds = goldens.has("neg_prompt_ids") ? idTensor(goldens.get("neg_prompt_ids")!) : undefined;
        const stored = Uint32Array.from(goldens.get("prng_split")?.data ?? goldens.get("prng_key")!.data);
        const key = goldens.has("prng_split") ? split(PRNGKey(0), 1)[0] : stored;
        expect(key).toEqual(stored);
        const noise = normal(key, goldens.get("init_latents")!.shape);
        expect(differences(noise, goldens.get("init_latents")!.data).worst).toBeLessThan(1e-6);

        const record = recordSteps(pipeline.scheduler);
        const { images } = await pipeline(positive, params, key, run.steps, {
          guidanceScale: run.guidance_scale,
          negPromptIds,
        });
        if (run.timesteps_run) expect(record.times).toEqual(run.timesteps_run);
        expect(record.times).toHaveLength(run.steps);
        const last = goldens.get(`latents.${run.steps - 1}`);
        const off = last && differences(await record.latents.at(-1)!.data(), last.data);
        const image = goldens.get("image")!;
        expect(images.shape).toEqual(image.shape);
        const drawn = await images.data();
        if (bf16) {
          // These goldens are up to 1.0 (latents) and 0.046 (pictures) away from their float32 twins: their activations have
          // 8 bits. Ours have 11, and must be nearer to the exact numbers than that.
          expect(off?.worst).toBeLessThan(1.1);
          expect(off?.mean).toBeLessThan(0.2);
          expect(differences(drawn, image.data).worst).toBeLessThan(5e-2);
          expect(differences(drawn, image.data).mean).toBeLessThan(1e-2);
          const exact = (await readGolden(`models/${run.file.replace("bf16", "fp32")}`)).get("image")!;
          expect(differences(drawn, exact.data).worst).toBeLessThan(1e-2);
        } else {
          if (off) expect(off.worst).toBeLessThan(1e-3); // sums in another order
          expect(differences(drawn, image.data).worst).toBeLessThan(2e-4);
        }
        for (const owned of [ids, positive, negPromptIds, images, params, ...record.latents]) owned?.dispose();
      });
});

describe("schedulers that diffusers' Flax pipeline could not run", () => {
  checkLeaks();

  /** Prompt, key and steps on the Flax pipeline and on the stateful one, with the same weights. */
  async function both(
    flax: string,
    stateful: Scheduler,
    generator?: NoiseSource,
  ): Promise<[Float32Array, Float32Array]> {
    const [pipeline, params] = await loadFlax(flax);
    const ids = pipeline.prepareInputs("two cats");
    const key = PRNGKey(3);
    const { images } = await pipeline(ids, params, key, 6);
    const { text_encoder, unet, vae } = params;
    const other = new StableDiffusionPipeline({
      text_encoder,
      unet,
      vae,
      tokenizer: pipeline.tokenizer,
      scheduler: PNDMScheduler.fromConfig(SD15),
    });
    other.scheduler = stateful; // as it is: the constructor would set steps_offset
    other.setProgressBarConfig({ disable: true });
    const latents = Tensor.from(normal(key, [1, 4, 8, 8]), [1, 4, 8, 8]);
    const wanted = await other("two cats", { numInferenceSteps: 6, latents, generator, outputType: "np" });
    const pictures = [await images.data(), await wanted.images.data()] as [Float32Array, Float32Array];
    for (const owned of [ids, images, latents, wanted.images, params]) owned.dispose();
    return pictures;
  }

  test("LMS and Euler draw what the stateful classes draw", async () => {
    const config = { ...SD15, timestep_spacing: "linspace" };
    const lms = await both("FlaxLMSDiscreteScheduler", LMSDiscreteScheduler.fromConfig(config));
    expect(differences(...lms).worst).toBeLessThan(1e-4);
    // The repository says "leading", where the noise is scaled by the level before setTimesteps in Flax: so no other test.
    const [pipeline, params] = await loadFlax("FlaxEulerDiscreteScheduler");
    const ids = pipeline.prepareInputs("two cats");
    const { images } = await pipeline(ids, params, PRNGKey(3), 6);
    expect((await images.data()).every(Number.isFinite)).toBe(true);
    for (const owned of [ids, images, params]) owned.dispose();
  });

  test("DDPM draws with other noise at each step", async () => {
    let step = 0;
    const noise = { randn: (shape: readonly number[]) => normal(split(foldIn(PRNGKey(3), step++), 1)[0], shape) };
    const stateful = DDPMScheduler.fromConfig(SD15, { steps_offset: 0 });
    const [got, wanted] = await both("FlaxDDPMScheduler", stateful, noise);
    expect(step).toBe(5); // the last step adds none
    expect(differences(got, wanted).worst).toBeLessThan(1e-3);
  });
});
