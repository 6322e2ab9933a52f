import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  Generator,
  openRepository,
  requestDevice,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  type Repository,
  type StableDiffusionOptions,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { inHalves, loraFile, loraRepository, loraTensors, readLoraGoldens } from "../support/lora.js";
import { writeSafetensors, type RawTensor } from "../support/repositories.js";
import { warnings } from "../support/warnings.js";

const { files, runs } = await readLoraGoldens();
const golden = runs.find(
  ({ loaded, steps, options }) => loaded.join() === "kohya" && steps.length + Object.keys(options).length === 0,
)!;
const FOLDER = fixturePath("models/repos/sd15");
const only = (file: Uint8Array): Repository => loraRepository({ "pytorch_lora_weights.safetensors": file });
const kohya = only(loraFile(files.kohya));
const peft = only(loraFile(files.peft));

async function load(source: Repository | string = FOLDER, options = {}): Promise<StableDiffusionPipeline> {
  const pipeline = await StableDiffusionPipeline.fromPretrained(source, options);
  pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
  pipeline.setProgressBarConfig({ disable: true });
  return pipeline;
}

async function draw(pipeline: StableDiffusionPipeline, options: StableDiffusionOptions = {}): Promise<number[]> {
  const prompt = options.promptEmbeds ? null : "a photo of a cat";
  const size = { numInferenceSteps: 3, height: 32, width: 48 };
  const generator = new Generator("cpu").manualSeed(8);
  const { images } = await pipeline(prompt, { ...size, generator, ...options, outputType: "latent" });
  const values = await images.data();
  images.dispose();
  return Array.from(values);
}

const furthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i])));

describe("LoRA weights", () => {
  let pipeline: StableDiffusionPipeline;
  let plain: number[];
  beforeAll(async () => {
    await testDevice();
    pipeline = await load();
    plain = await draw(pipeline);
  });
  afterAll(() => pipeline.dispose());

  test("nothing is left of them once they are unloaded, deleted or disabled: the same numbers, bit for bit", async () => {
    await pipeline.loadLoraWeights(kohya);
    await pipeline.loadLoraWeights(peft);
    expect(pipeline.getListAdapters()).toEqual({
      unet: ["default_0", "default_1"],
      text_encoder: ["default_0", "default_1"],
    });
    expect(pipeline.getActiveAdapters()).toEqual(["default_1"]);
    expect(furthest(await draw(pipeline), plain)).toBeGreaterThan(0.01);
    await pipeline.disableLora();
    expect(await draw(pipeline)).toEqual(plain);
    await pipeline.enableLora();
    await pipeline.deleteAdapters("default_1");
    expect(pipeline.getActiveAdapters()).toEqual(["default_0"]);
    expect(furthest(await draw(pipeline), golden.latents)).toBeLessThan(1e-3);
    await pipeline.unloadLoraWeights();
    expect(pipeline.getListAdapters()).toEqual({});
    expect(await draw(pipeline)).toEqual(plain);
  });

  test("embeddings that the caller keeps are projected anew when the projections change", async () => {
    const [promptEmbeds, negativePromptEmbeds] = await pipeline.encodePrompt("a photo of a cat");
    const given = { promptEmbeds, negativePromptEmbeds: negativePromptEmbeds! };
    const before = await draw(pipeline, given);
    await pipeline.loadLoraWeights(kohya);
    const under = await draw(pipeline, given);
    const fresh = await load();
    await fresh.loadLoraWeights(kohya);
    expect(under).toEqual(await draw(fresh, given));
    fresh.dispose();
    await pipeline.unloadLoraWeights();
    expect(await draw(pipeline, given)).toEqual(before);
    promptEmbeds.dispose();
    negativePromptEmbeds?.dispose();
  });

  test("a call's scale is of that call", async () => {
    await pipeline.loadLoraWeights(kohya);
    const full = await draw(pipeline);
    expect(await draw(pipeline, { crossAttentionKwargs: { scale: 0 } })).toEqual(plain);
    expect(await draw(pipeline)).toEqual(full);
    await expect(draw(pipeline, { crossAttentionKwargs: { scale: NaN } })).rejects.toThrow(
      "crossAttentionKwargs.scale",
    );
    const more = { crossAttentionKwargs: { gligen: 1 } as object };
    expect((await warnings(() => draw(pipeline, more))).join()).toContain("only scale is known, ignored: gligen");
    const stop = new AbortController();
    const callbackOnStepEnd = (): void => stop.abort(new Error("enough"));
    const aborted = draw(pipeline, { crossAttentionKwargs: { scale: 0.5 }, signal: stop.signal, callbackOnStepEnd });
    await expect(aborted).rejects.toThrow("enough");
    expect(await draw(pipeline)).toEqual(full);
    await pipeline.unloadLoraWeights();
  });

  test("pipelines that share the models share them, and Python's spelling is taken", async () => {
    const other = StableDiffusionImg2ImgPipeline.fromPipe(pipeline);
    await other.loadLoraWeights(kohya, { adapter_name: "k" } as object);
    expect(pipeline.getActiveAdapters()).toEqual(["k"]);
    expect(furthest(await draw(pipeline), golden.latents)).toBeLessThan(1e-3);
    await pipeline.fuseLora({ lora_scale: 1 } as object);
    expect([...other.fusedLoras]).toEqual(["k"]);
    expect(pipeline.numFusedLoras).toBe(1);
    await pipeline.unfuseLora();
    await pipeline.unloadLoraWeights();
  });

  test("files of halves, for models in halves", async () => {
    const halves = await load(FOLDER, { dtype: "float16" });
    const before = await draw(halves);
    await halves.loadLoraWeights(only(writeSafetensors(inHalves(loraTensors(files.kohya)))));
    const under = await draw(halves);
    const difference = (a: readonly number[], b: readonly number[]): number[] => a.map((x, i) => x - b[i]);
    // What they change, to what halves round of the whole.
    const error = furthest(difference(under, before), difference(golden.latents, plain));
    expect(error).toBeLessThan(2e-2 * Math.max(...plain.map(Math.abs)));
    halves.dispose();
  });

  test("what the device lost comes back with them", async () => {
    const device = await requestDevice();
    const lost = await load(FOLDER, { device });
    await lost.loadLoraWeights(kohya);
    const before = await draw(lost);
    device.destroy();
    const fresh = await requestDevice();
    await lost.recover({ device: fresh });
    expect(await draw(lost)).toEqual(before);
    await lost.unloadLoraWeights();
    expect(await draw(lost)).toEqual(plain);
    lost.dispose();
  });

  test("where reading fails, on either side, the models are as before", async () => {
    const base = await openRepository(FOLDER);
    let fails: string | null = null;
    const flaky: Repository = {
      name: "flaky",
      open: async (path) => {
        const file = await base.open(path);
        const read: NonNullable<typeof file>["read"] = async (start, end, into) => {
          // The header can be read, the weights cannot.
          if (fails && path.includes(fails) && (start ?? 0) > 8) {
            fails = null;
            throw new Error("the disk is gone");
          }
          return file!.read(start, end, into);
        };
        return file && { path: file.path, size: file.size, read };
      },
    };
    const from = await load(flaky);
    for (const broken of ["unet/diffusion_pytorch_model", "text_encoder/model"]) {
      fails = broken;
      await expect(from.loadLoraWeights(kohya)).rejects.toThrow("the disk is gone");
      expect(from.getListAdapters()).toEqual({});
      expect(await draw(from)).toEqual(plain);
    }
    const aborted = from.loadLoraWeights(kohya, { signal: AbortSignal.abort(new Error("enough")) });
    await expect(aborted).rejects.toThrow("enough");
    await from.loadLoraWeights(kohya);
    expect(furthest(await draw(from), golden.latents)).toBeLessThan(1e-3);
    from.dispose();
  });

  describe("what cannot be loaded is refused by name, and changes nothing", () => {
    const tensors = loraTensors(files.peft);
    const [key] = tensors.keys();
    const file = (change: (all: Map<string, RawTensor>) => unknown): Repository => {
      const all = new Map(tensors);
      change(all);
      return only(writeSafetensors(all));
    };
    const wrong: [string, Repository, string][] = [
      [
        "a key of another kind",
        file((all) => all.set("unet.x.lokr_w1", tensors.get(key)!)),
        "1 of its keys are none of a LoRA",
      ],
      ["half of a layer", file((all) => all.delete(key)), "needs two matrices of one rank, and has none and [16, 4]"],
      ["another model's", only(loraFile(files.kohya_xl)), "it was made for another model"],
      ["a file without any", only(writeSafetensors(new Map())), "has no weights of a LoRA"],
      [
        "no file",
        loraRepository({}),
        'no pytorch_lora_weights.safetensors; say what the file is called: { weightName: "',
      ],
      [
        "layers that there are not",
        file((all) => {
          const own = [...all.values()];
          all.clear();
          all.set("unet.down.lora_A.weight", own[0]).set("unet.down.lora_B.weight", own[1]);
        }),
        "has no weights for the models of this pipeline; it is for the layers unet down",
      ],
      ["integers", file((all) => all.set(key, { ...tensors.get(key)!, dtype: "I32" })), `${key} has dtype I32`],
    ];
    for (const [name, source, message] of wrong)
      test(name, async () => {
        await expect(pipeline.loadLoraWeights(source)).rejects.toThrow(message);
        expect(pipeline.getListAdapters()).toEqual({});
        expect(await draw(pipeline)).toEqual(plain);
      });

    test("DoRA's scales are left out with a warning, as diffusers does", async () => {
      const all = loraTensors(files.kohya);
      const name = files.kohya.layers[0][0];
      all.set(`${name}.dora_scale`, { dtype: "F32", shape: [1], bytes: new Uint8Array(4) });
      const said = await warnings(() => pipeline.loadLoraWeights(only(writeSafetensors(all))));
      expect(said.join()).toContain("is a DoRA");
      expect(furthest(await draw(pipeline), golden.latents)).toBeLessThan(1e-3);
      await pipeline.unloadLoraWeights();
    });

    test("names, weights and components that there are not", async () => {
      await pipeline.loadLoraWeights(kohya, { adapterName: "k" });
      await expect(pipeline.loadLoraWeights(kohya, { adapterName: "k" })).rejects.toThrow(
        "the adapter name k is already in use",
      );
      await expect(pipeline.setAdapters("x")).rejects.toThrow("x not among the loaded adapters (k)");
      await expect(pipeline.setAdapters("k", [1, 2])).rejects.toThrow("there are 1 adapters' names and 2 weights");
      await expect(pipeline.setAdapters("k", NaN)).rejects.toThrow("must be a finite number, got NaN");
      await expect(pipeline.setAdapters("k", { unet: { down: 1 } } as object)).rejects.toThrow(
        "weights by block are not",
      );
      await expect(pipeline.setAdapters("k", { vae: 1 } as object)).rejects.toThrow("got some for vae");
      await expect(pipeline.setAdapters(3 as never)).rejects.toThrow("must be a text or a list of them, got 3");
      await expect(pipeline.fuseLora({ components: [] })).rejects.toThrow(
        "components must be a list of unet, text_encoder",
      );
      await expect(pipeline.fuseLora({ components: ["vae" as never] })).rejects.toThrow(
        'of unet, text_encoder, got "vae"',
      );
      await expect(pipeline.fuseLora({ loraScale: NaN })).rejects.toThrow("loraScale must be a finite number");
      await pipeline.deleteAdapters(["nope", "k"]);
      expect(await draw(pipeline)).toEqual(plain);
    });
  });
});
