import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  FlaxDDIMScheduler,
  FlaxStableDiffusionPipeline,
  openRepository,
  PRNGKey,
  type FlaxDiffusionScheduler,
  type FlaxParams,
} from "../../src/index.js";
import { FLAX_REPO } from "../support/flax.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { changed } from "../support/repositories.js";

await testDevice();

describe("loading", () => {
  checkLeaks();

  test("without a scheduler of one's own the repository's is used; with one its state must be set", async () => {
    const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { variant: "bf16" });
    expect(pipeline.scheduler.className).toBe("FlaxPNDMScheduler");
    expect(params.scheduler?.initNoiseSigma).toBe(1);
    params.dispose();
    const [scheduler] = await FlaxDDIMScheduler.fromPretrained(FLAX_REPO, { subfolder: "scheduler" });
    const [own, without] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { scheduler, variant: "bf16" });
    expect(["scheduler" in params, "scheduler" in without]).toEqual([true, false]);
    const ids = own.prepareInputs("a cat");
    await expect(own(ids, without, PRNGKey(0), 2)).rejects.toThrow(
      /params\.scheduler is missing.*params\.scheduler = state/,
    );
    for (const owned of [ids, without]) owned.dispose();
    const nothing = {
      dtype: null,
      device: null,
      token: null,
      signal: null,
      local_files_only: null,
      safety_checker: null,
    };
    const [, unset] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { ...nothing, variant: "bf16" });
    expect(unset.unet.dtype).toBe("float32");
    unset.dispose();
    const stateful = new DDIMScheduler() as unknown as FlaxDiffusionScheduler;
    await expect(FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { scheduler: stateful })).rejects.toThrow(
      /must be one of FlaxDDIMScheduler/,
    );
  });
});

describe("repositories without the variant or without safetensors", () => {
  checkLeaks();
  const warnings: string[] = [];
  const { warn } = console;
  beforeAll(() => void (console.warn = (text: string) => void warnings.push(text)));
  afterAll(() => void (console.warn = warn));
  const bytes = async (path: string): Promise<Uint8Array> =>
    (await (await openRepository(FLAX_REPO)).open(path))!.read();
  const VAE = "vae/diffusion_pytorch_model";

  test("a model without the variant comes from the default weights, with a warning", async () => {
    const changes = {
      [`${VAE}.bf16.safetensors`]: null,
      [`${VAE}.safetensors`]: await bytes(`${VAE}.bf16.safetensors`),
    };
    const repository = await changed(FLAX_REPO, changes);
    const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(repository, {
      variant: "bf16",
      dtype: "bfloat16",
      steps: 3,
    });
    expect(params.vae.dtype).toBe("float16");
    expect(pipeline.scheduler.className).toBe("FlaxPNDMScheduler");
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toBe(
      "Keyword arguments {'steps': 3} are not expected by FlaxStableDiffusionPipeline and will be ignored.",
    );
    expect(warnings[1]).toMatch(/no variant "bf16" of vae; the default weights are used there/);
    params.dispose();
  });

  test("msgpack alone is refused with the way out", async () => {
    const repository = await changed(FLAX_REPO, {
      [`${VAE}.bf16.safetensors`]: null,
      "vae/diffusion_flax_model.msgpack": new Uint8Array(8),
    });
    await expect(FlaxStableDiffusionPipeline.fromPretrained(repository, { variant: "bf16" })).rejects.toThrow(
      /^vae\/diffusion_flax_model\.msgpack.*msgpack weights are not read.*from_flax=True/,
    );
    const nothing = await changed(FLAX_REPO, { [`${VAE}.bf16.safetensors`]: null });
    await expect(FlaxStableDiffusionPipeline.fromPretrained(nothing, { variant: "bf16" })).rejects.toThrow(
      /vae\/diffusion_pytorch_model\.safetensors and vae\/diffusion_pytorch_model\.bf16\.safetensors: no such files/,
    );
  });

  test("a model_index.json of other classes is refused by name; Flax's own names are understood", async () => {
    const index = JSON.parse(new TextDecoder().decode(await bytes("model_index.json"))) as Record<string, unknown>;
    const load = async (change: object): Promise<unknown> =>
      FlaxStableDiffusionPipeline.fromPretrained(
        await changed(FLAX_REPO, { "model_index.json": { ...index, ...change } }),
        { variant: "bf16" },
      );
    await expect(load({ scheduler: ["diffusers", "UniPCMultistepScheduler"] })).rejects.toThrow(
      /scheduler is \["diffusers", "UniPCMultistepScheduler"\].*no stateless twin.*FlaxDDIMScheduler/,
    );
    await expect(load({ unet: ["diffusers", "UNet2DModel"] })).rejects.toThrow(
      /unet is .*UNet2DModel.*takes UNet2DCond/,
    );
    await expect(load({ _class_name: "DDPMPipeline" })).rejects.toThrow(/_class_name is "DDPMPipeline"/);
    const flax = { _class_name: "FlaxStableDiffusionPipeline", scheduler: ["diffusers", "FlaxDDIMScheduler"] };
    const [pipeline, params] = (await load({
      ...flax,
      unet: ["diffusers", "FlaxUNet2DConditionModel"],
    })) as [FlaxStableDiffusionPipeline, FlaxParams];
    expect(pipeline.scheduler.className).toBe("FlaxDDIMScheduler");
    params.dispose();
    await expect(FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { dtype: "int8" as "float32" })).rejects.toThrow(
      /dtype must be .*got "int8"/,
    );
    for (const dtype of ["float32", "bfloat16"] as const)
      await expect(
        FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { safety_checker: {} as never, dtype }),
      ).rejects.toThrow(
        "safety_checker may be null, which leaves the repository's out; another one is assigned to params.safety_checker",
      );
  });
});
