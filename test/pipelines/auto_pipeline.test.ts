import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderTiny,
  AutoPipelineForImage2Image,
  AutoPipelineForInpainting,
  AutoPipelineForText2Image,
  ControlNetModel,
  DDPMPipeline,
  DiffusionPipeline,
  LatentConsistencyModelImg2ImgPipeline,
  openRepository,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionControlNetPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
  type Repository,
} from "../../src/index.js";
import { autoClass, type AutoTask } from "../../src/pipelines/auto/auto_classes.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { lcmRepository } from "../support/lcm.js";
import { picture } from "../support/pictures.js";
import { changed } from "../support/repositories.js";
import { warnings } from "../support/warnings.js";

/** What scripts/make_auto_pipeline.py wrote; null where diffusers finds no class. */
interface Goldens {
  choices: {
    task: AutoTask;
    named: string;
    controlnet: "absent" | "net" | "none";
    loaded: string | null;
    converted: string | null;
  }[];
  /** With a union of ControlNets given, and of its pipelines. */
  unions: { task: AutoTask; named: string; given: boolean; loaded: string | null }[];
  chains: {
    repo: string;
    links: { task: AutoTask; given: Record<string, unknown>; className: string; config: Record<string, unknown> }[];
  }[];
}
const { choices, unions, chains } = await readFixtureJSON<Goldens>("pipelines/auto_pipeline.json");

const AUTO: Record<
  AutoTask,
  { fromPipe(pipeline: DiffusionPipeline, options: Record<string, unknown>): DiffusionPipeline }
> = {
  Text2Image: AutoPipelineForText2Image,
  Image2Image: AutoPipelineForImage2Image,
  Inpainting: AutoPipelineForInpainting,
};
const SD15 = fixturePath("models/repos/sd15");

/** sd15 whose file names another class. */
async function named(className: unknown): Promise<Repository> {
  const file = await (await openRepository(SD15)).open("model_index.json");
  const index = JSON.parse(new TextDecoder().decode(await file!.read())) as object;
  return changed(SD15, { "model_index.json": { ...index, _class_name: className } });
}

test("the classes are those that diffusers chooses, of files and of pipelines", () => {
  for (const { task, named: name, controlnet, loaded, converted } of choices) {
    const steering = ({ absent: undefined, net: "-controlnet", none: "" } as const)[controlnet];
    const what = `${task}, ${name}, ${controlnet}`;
    expect([what, autoClass(task, name, steering)?.className ?? null]).toEqual([what, converted]);
    const found = autoClass(task, name, controlnet === "absent" ? undefined : "-controlnet")?.className ?? null;
    // Where diffusers' names make none, it is what becomes of a pipeline of that class when a ControlNet is given.
    const net = choices.find((each) => each.task === task && each.named === name && each.controlnet === "net")!;
    expect([what, found]).toEqual([what, loaded ?? (controlnet === "absent" ? null : net.converted)]);
  }
  expect(choices.filter(({ loaded }) => loaded !== null).length).toBeGreaterThan(50);
  const known = unions.filter(({ loaded }) => loaded !== null);
  for (const { task, named: name, given, loaded } of known)
    expect([task, name, autoClass(task, name, given ? "-controlnet-union" : undefined)?.className]).toEqual([
      task,
      name,
      loaded,
    ]);
  expect(known.length).toBeGreaterThan(10);
});

describe("AutoPipelines", () => {
  let controlnet: ControlNetModel;
  beforeAll(async () => {
    const device = await testDevice();
    controlnet = await ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), { device });
  });
  afterAll(() => controlnet.dispose());

  test("a repository is loaded by the class for the task, and its file read once", async () => {
    const base = await openRepository(SD15);
    const opened: string[] = [];
    const open: Repository["open"] = (path, options) => {
      opened.push(path);
      return base.open(path, options);
    };
    const pipeline = await AutoPipelineForImage2Image.fromPretrained({ name: "watched", open });
    expect(pipeline).toBeInstanceOf(StableDiffusionImg2ImgPipeline);
    expect(opened.filter((path) => path === "model_index.json")).toEqual(["model_index.json"]);
    expect(pipeline.nameOrPath).toBe("watched");
    pipeline.dispose();
  });

  test("a ControlNet switches the class, and components given are used", async () => {
    const options = { controlnet, enable_pag: false };
    const steered = await AutoPipelineForText2Image.fromPretrained(SD15, options);
    expect(steered).toBeInstanceOf(StableDiffusionControlNetPipeline);
    expect((steered as StableDiffusionControlNetPipeline).controlnet).toBe(controlnet);
    const { vae, text_encoder, tokenizer, unet, scheduler } = steered as StableDiffusionControlNetPipeline;
    const parts = { vae, text_encoder, tokenizer, unet, scheduler, controlnet };
    const inpaint = await AutoPipelineForInpainting.fromPretrained(
      await named("StableDiffusionControlNetPipeline"),
      parts,
    );
    expect(inpaint).toBeInstanceOf(StableDiffusionControlNetInpaintPipeline);
    const shared = { vae, text_encoder, tokenizer, unet, scheduler };
    const none = await AutoPipelineForText2Image.fromPretrained(SD15, { ...shared, controlnet: null });
    expect([none.className, (none as StableDiffusionControlNetPipeline).controlnet]).toEqual([
      "StableDiffusionControlNetPipeline",
      null,
    ]);
    for (const model of [vae, text_encoder, unet]) model.dispose();
  });

  for (const { repo, links } of chains)
    test(`of ${repo}: ${links.map(({ className }) => className).join(", ")}; each says of itself what diffusers' does`, async () => {
      let pipeline: DiffusionPipeline;
      await warnings(async () => {
        const source = fixturePath(`models/repos/${repo}`);
        pipeline = await DiffusionPipeline.fromPretrained(source, repo === "sd15" ? { safety_checker: null } : {});
        for (const { task, given, className, config } of links) {
          const options = { ...given, ...(given.controlnet === "net" ? { controlnet } : {}) };
          const before = pipeline.components;
          pipeline = AUTO[task].fromPipe(pipeline, options);
          expect([pipeline.className, pipeline.nameOrPath]).toEqual([className, source]);
          for (const [name, component] of Object.entries(pipeline.components))
            if (name in before && !(name in options)) expect(component).toBe(before[name]);
          const said = Object.entries(pipeline.config).filter(
            ([name, value]) =>
              !(name in pipeline.components) &&
              !["_class_name", "_diffusers_version", "_name_or_path"].includes(name) &&
              value !== null,
          );
          expect(Object.fromEntries(said)).toEqual(config);
        }
      });
      for (const [name, part] of Object.entries(pipeline!.components))
        if (name !== "controlnet") (part as { dispose?: () => void } | null)?.dispose?.();
    });

  test("latent consistency models have their own; a VAE of another kind goes over, as in diffusers", async () => {
    const pipeline = await AutoPipelineForImage2Image.fromPretrained(await lcmRepository());
    expect(pipeline).toBeInstanceOf(LatentConsistencyModelImg2ImgPipeline);
    const tiny = await AutoencoderTiny.fromPretrained(fixturePath("models/repos/taesd"), { device: pipeline.device });
    (pipeline.vae as unknown as { dispose(): void }).dispose();
    pipeline.vae = tiny as never;
    const warned = await warnings(async () => {
      expect(AutoPipelineForText2Image.fromPipe(pipeline).vae).toBe(tiny);
    });
    expect(warned.filter((text) => text.includes("not switched over"))).toEqual([]);
    expect(() => AutoPipelineForInpainting.fromPipe(pipeline)).toThrow(
      "AutoPipelineForInpainting.fromPipe: AutoPipeline can't find a pipeline linked to LatentConsistencyModelImg2ImgPipeline for " +
        "Inpainting in this version. There are StableDiffusionInpaintPipeline, ",
    );
    expect(() => AutoPipelineForText2Image.fromPipe(pipeline, { controlnet })).toThrow(
      "linked to LatentConsistencyModelImg2ImgPipeline with a ControlNet for Text2Image",
    );
    pipeline.dispose();
  });

  test("what is of another kind is refused, with what there is", async () => {
    for (const [name, message] of [
      ["DDPMPipeline", "model_index.json: AutoPipeline can't find a pipeline linked to DDPMPipeline for Text2Image"],
      ["StableDiffusionPAGPipeline", "There are StableDiffusionPipeline, StableDiffusionXLPipeline, "],
      ["FlaxStableDiffusionPipeline", "linked to FlaxStableDiffusionPipeline"],
      [["a"], 'linked to ["a"] for Text2Image'],
    ] as const)
      await expect(AutoPipelineForText2Image.fromPretrained(await named(name))).rejects.toThrow(message);
    const pag = "enablePag: perturbed-attention guidance (PAG) is not supported; leave it out";
    await expect(AutoPipelineForText2Image.fromPretrained(SD15, { enablePag: true })).rejects.toThrow(pag);
    const empty = new StableDiffusionXLPipeline({ vae: null, unet: null, scheduler: null });
    for (const options of [{ enablePag: true }, { enable_pag: true }])
      expect(() => AutoPipelineForInpainting.fromPipe(empty, options)).toThrow(pag);
    expect(() => AutoPipelineForInpainting.fromPipe(empty, { scheduller: null })).toThrow("got scheduller");
    expect(() => AutoPipelineForText2Image.fromPipe({} as never)).toThrow(
      "AutoPipelineForText2Image.fromPipe: takes a pipeline",
    );
    const unconditional = new DDPMPipeline({ unet: null, scheduler: null } as never);
    expect(() => AutoPipelineForText2Image.fromPipe(unconditional)).toThrow("linked to DDPMPipeline");
  });

  test("none can be constructed, as in diffusers", () => {
    for (const [task, Class] of Object.entries(AUTO))
      expect(() => new (Class as unknown as new () => unknown)()).toThrow(
        `AutoPipelineFor${task} is designed to be instantiated using the \`AutoPipelineFor${task}.fromPretrained(source)\` or`,
      );
  });

  test("TypeScript knows what a call takes and gives, and the class where it is named", () => {
    // Compiled, and not run.
    const typed = async (): Promise<void> => {
      const text = await AutoPipelineForText2Image.fromPretrained("a/b");
      const { images } = await text("a cat", { numInferenceSteps: 2, generator: null });
      await images[0].save("cat.png");
      (await text("a cat", { outputType: "np" })).images.dispose();
      await text("a cat");
      const xl = await AutoPipelineForText2Image.fromPretrained<StableDiffusionXLPipeline>("a/b");
      await xl("a cat", { prompt2: "a dog" });
      if (text instanceof StableDiffusionPipeline) await text.encodePrompt("a cat");
      // @ts-expect-error -- a picture to begin with is missing
      await AutoPipelineForImage2Image.fromPipe(text)("a cat", {});
      await AutoPipelineForInpainting.fromPipe(text)("a cat", { image: picture(8, 8), maskImage: picture(8, 8) });
      // @ts-expect-error -- of another task
      await AutoPipelineForText2Image.fromPretrained<StableDiffusionImg2ImgPipeline>("a/b");
    };
    expect(typed).toBeInstanceOf(Function);
  });
});
