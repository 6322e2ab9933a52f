/** Unions of ControlNets, which diffusers has with Stable Diffusion XL alone. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoPipelineForImage2Image,
  AutoPipelineForInpainting,
  AutoPipelineForText2Image,
  MultiControlNetUnionModel,
  RawImage,
  schedulerClass,
  SDXLCFGCutoffCallback,
  StableDiffusionXLControlNetPipeline,
  StableDiffusionXLControlNetUnionImg2ImgPipeline,
  StableDiffusionXLControlNetUnionInpaintPipeline,
  StableDiffusionXLControlNetUnionPipeline,
  StableDiffusionXLInpaintPipeline,
  StableDiffusionXLPipeline,
  type AnyPipeline,
  type ControlNetUnionModel,
  Tensor,
} from "../../src/index.js";
import { IMAGES, madeUNet, MASKS } from "../support/controlnet_pictures.js";
import { CONTROLNET_UNION, controlNetUnion, type Named, type UnionRun } from "../support/controlnet_union.js";
import { testDevice } from "../support/gpu.js";
import { picture, pixels } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, seeded, XL_REPO } from "../support/sdxl_pictures.js";

const CLASSES = [
  StableDiffusionXLControlNetUnionPipeline,
  StableDiffusionXLControlNetUnionImg2ImgPipeline,
  StableDiffusionXLControlNetUnionInpaintPipeline,
];
/** The first bytes of coloured pixels, as scripts/made_pictures.py. */
const grey = (): RawImage =>
  new RawImage(
    48,
    32,
    pixels(48, 32).filter((_, i) => i % 3 === 0),
    1,
  );
const named = (what: Named): unknown =>
  typeof what === "string" ? (what === "grey" ? grey() : IMAGES[what]()) : what.map(named);

describe("pipelines with unions of ControlNets", () => {
  const nets = new Map<string, ControlNetUnionModel>();
  let base: StableDiffusionXLPipeline;
  const pipelineOf = ({ pipeline: name, nets: names }: Pick<UnionRun, "pipeline" | "nets">): AnyPipeline => {
    const models = names.map((each) => nets.get(each)!);
    const controlnet = models.length > 1 ? new MultiControlNetUnionModel(models) : models[0];
    const Class = CLASSES.find(({ className }) => className === `StableDiffusion${name}Pipeline`)!;
    const pipeline = Class.fromPipe(base, { controlnet }) as unknown as AnyPipeline;
    pipeline.setProgressBarConfig({ disable: true });
    return pipeline;
  };
  beforeAll(async () => {
    await testDevice();
    for (const name of ["union", "deep", "pooled"]) nets.set(name, await controlNetUnion(name));
    base = await StableDiffusionXLPipeline.fromPretrained(XL_REPO);
  });
  afterAll(() => {
    for (const each of [...nets.values(), base]) each.dispose();
  });

  for (const [i, run] of CONTROLNET_UNION.runs.entries()) {
    const { scheduler, image, mask, control, mode, options, shape } = run;
    const read = `${JSON.stringify(control)} as ${JSON.stringify(mode)}`;
    const what = [run.pipeline, run.nets.join(" + "), scheduler, image, mask, read].filter(Boolean).join(", ");
    test(`${i}: ${what}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelineOf(run);
      pipeline.scheduler = schedulerClass(scheduler).fromConfig((pipeline.scheduler as { config: object }).config);
      const { prompt = "a photo of a cat", seeds, ...given } = options as Record<string, unknown>;
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const call = {
        ...{ numInferenceSteps: 4, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...Object.fromEntries(Object.entries(given).map(([name, value]) => [camelCase(name), value])),
        ...{ controlImage: named(control), controlMode: mode },
        ...(image && { image: IMAGES[image]() }),
        ...(mask && { maskImage: MASKS[mask]() }),
      };
      const { images } = (await pipeline(prompt as string, call)) as { images: Tensor | RawImage[] };
      if (options.output_type === "pil") {
        const [drawn] = images as RawImage[];
        expect([1, drawn.height, drawn.width, 3]).toEqual(shape);
        // The part that was drawn anew.
        const part = Array.from({ length: 20 }, (_, y) => [
          ...drawn.data.slice(3 * (96 * (16 + y) + 34), 3 * (96 * (16 + y) + 66)),
        ]).flat();
        expect(Math.max(...part.map((value, k) => Math.abs(value - run.images[k])))).toBeLessThan(2);
      } else {
        expect((images as Tensor).shape).toEqual(shape);
        // As in test/pipelines/stable_diffusion.test.ts.
        const bound = options.output_type === "np" ? 1 / 255 : 1e-3;
        expect(differences(await numbers({ images: images as Tensor }), run.images).worst).toBeLessThan(bound);
      }
      expect(differences(generators[0].randn([4]), run.after).worst).toBeLessThan(1e-4);
      dispose(call);
    });
  }

  const pictures = (): RawImage[] => [picture(48, 32), picture(48, 32)];
  const sources = ({ className }: AnyPipeline): object => ({
    ...{
      controlImage: pictures(),
      controlMode: [3, 1],
      numInferenceSteps: 2,
      generator: seeded(8),
      outputType: "latent",
    },
    ...(/Img2Img|Inpaint/.test(className) && { image: picture(48, 32), strength: 1 }),
    ...(className.includes("Inpaint") && { maskImage: MASKS["48x32"]() }),
  });
  const drawn = async (pipeline: AnyPipeline, options: object = {}): Promise<Float32Array> =>
    numbers((await pipeline("a cat", { ...sources(pipeline), ...options })) as { images: Tensor });
  const made = (pipeline: string, ...names: string[]): AnyPipeline => pipelineOf({ pipeline, nets: names });

  test("float16 draws nearly what diffusers draws in it", async () => {
    const parts = { controlnet: await controlNetUnion("union", { dtype: "float16" }), dtype: "float16" } as const;
    const half = await StableDiffusionXLControlNetUnionPipeline.fromPretrained(XL_REPO, parts);
    half.setProgressBarConfig({ disable: true });
    const generator = seeded(8);
    const controlImage = [picture(48, 32), picture(61, 45)];
    const { images } = await half("a photo of a cat", {
      ...{ controlImage, controlMode: [3, 1], height: 32, width: 48, guidanceScale: 2 },
      ...{ numInferenceSteps: 4, generator, outputType: "latent" },
    });
    const wanted = CONTROLNET_UNION.half;
    // As expectHalf() of test/support/sdxl_pictures.ts.
    expect(differences(await numbers({ images }), wanted.images).mean).toBeLessThan(0.05);
    expect(differences(generator.randn([4]), wanted.after).worst).toBeLessThan(1e-4);
    half.dispose();
  });

  for (const [name, names, wanted] of [
    [
      "XLControlNetUnionImg2Img",
      ["union"],
      ["control_image 2,3,32,48 2,3,32,48", "add_time_ids 2,6", "add_text_embeds 2,28"],
    ],
    ["XLControlNetUnionInpaint", ["union", "deep"], ["control_image 2,3,32,48 2,3,32,48", "mask 2,1,4,6"]],
  ] as const)
    test(`${name}: a callback gets what it asks for, gives another picture, ends the guidance; memory is what it was`, async () => {
      const pipeline = made(name, ...names);
      const { device } = pipeline;
      const held = (): number => {
        device.trim();
        return device.memoryUse.bytes;
      };
      // The first call makes what stays, such as the cache of random numbers.
      const plain = await drawn(pipeline);
      const before = held();
      let seen: string[] = [];
      const callbackOnStepEnd = (_: unknown, step: number, __: number, tensors: Record<string, Tensor | Tensor[]>) => {
        seen = Object.entries(tensors).map(([key, of]) => [key, ...[of].flat().map(({ shape }) => shape)].join(" "));
        const [kept, changed] = [tensors.control_image ?? []].flat();
        if (step > 0 || !changed) return {};
        return { control_image: [kept, Tensor.from(new Float32Array(changed.size), changed.shape)] };
      };
      const inputs = wanted.map((each) => each.split(" ")[0]);
      const black = await drawn(pipeline, { callbackOnStepEnd, callbackOnStepEndTensorInputs: inputs });
      expect(seen).toEqual(wanted);
      expect(black).not.toEqual(plain);
      for (const guessMode of [false, true]) {
        const cut = new SDXLCFGCutoffCallback({ cutoffStepIndex: 0 });
        const ended = await drawn(pipeline, { guessMode, callbackOnStepEnd: cut });
        expect(ended.every(Number.isFinite)).toBe(true);
      }
      const aborting = new AbortController();
      const callback = { signal: aborting.signal, callbackOnStepEnd: () => aborting.abort(new Error("enough")) };
      await expect(drawn(pipeline, callback)).rejects.toThrow("enough");
      await expect(drawn(pipeline, { callbackOnStepEnd: () => ({ control_image: [] }) })).rejects.toThrow(
        "the returned control_image must be a Tensor for each of 2 pictures that ControlNets read, got 0",
      );
      expect(await drawn(pipeline)).toEqual(plain);
      expect(held()).toBe(before);
    });

  test("what steers with nothing costs nothing; of several pictures the model draws all the same, as in diffusers", async () => {
    const pipeline = made("XLControlNetUnion", "union");
    const text = StableDiffusionXLPipeline.fromPipe(base);
    text.setProgressBarConfig({ disable: true });
    const options = {
      height: 32,
      width: 48,
      numInferenceSteps: 2,
      generator: seeded(8),
      outputType: "latent",
    } as const;
    const without = await numbers(await text("a cat", options));
    const one = { controlImage: picture(48, 32), controlMode: 3 };
    expect(await drawn(pipeline, { ...one, controlnetConditioningScale: 0 })).toEqual(without);
    expect(await drawn(pipeline, { controlnetConditioningScale: 0 })).not.toEqual(without);
    expect(await drawn(made("XLControlNetUnion", "union", "deep"), { controlnetConditioningScale: 0 })).toEqual(
      without,
    );
  });

  test("pipelines are made of each other, and chosen by what is given", async () => {
    const union = nets.get("union")!;
    const steered = AutoPipelineForText2Image.fromPipe(base, { controlnet: union });
    expect(steered).toBeInstanceOf(StableDiffusionXLControlNetUnionPipeline);
    const from = AutoPipelineForImage2Image.fromPipe(steered);
    expect(from).toBeInstanceOf(StableDiffusionXLControlNetUnionImg2ImgPipeline);
    const into = AutoPipelineForInpainting.fromPipe(from);
    expect(into).toBeInstanceOf(StableDiffusionXLControlNetUnionInpaintPipeline);
    expect((into as StableDiffusionXLControlNetUnionInpaintPipeline).controlnet).toBe(union);
    const several = AutoPipelineForText2Image.fromPipe(into, { controlnet: [union, nets.get("deep")!] });
    expect((several as StableDiffusionXLControlNetUnionPipeline).controlnet).toBeInstanceOf(MultiControlNetUnionModel);
    expect(AutoPipelineForInpainting.fromPipe(into, { controlnet: null }).className).toBe(
      "StableDiffusionXLInpaintPipeline",
    );
    const { vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, scheduler } = base;
    const parts = { vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, scheduler };
    const loaded = await AutoPipelineForImage2Image.fromPretrained(XL_REPO, { ...parts, controlnet: union });
    expect(loaded.className).toBe("StableDiffusionXLControlNetUnionImg2ImgPipeline");
    expect(() => StableDiffusionXLControlNetUnionPipeline.fromPipe(base)).toThrow("components controlnet are missing");
    const none = StableDiffusionXLControlNetUnionPipeline.fromPipe(base, { controlnet: null });
    await expect(none("a cat", { controlImage: picture(48, 32), controlMode: 0 })).rejects.toThrow(
      "the component `controlnet` is missing; ControlNetUnionModel or MultiControlNetUnionModel is needed",
    );
    const plain = StableDiffusionXLControlNetPipeline.fromPipe(base, { controlnet: union as never });
    await expect(plain("a cat", { image: picture(48, 32) })).rejects.toThrow(
      "the component `controlnet` is of class ControlNetUnionModel; ControlNetModel or MultiControlNetModel is needed",
    );
  });

  const both = ["union", "deep"];
  const WRONG: [name: string, names: string[], options: () => object, message: string][] = [
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlImage: undefined }),
      "`controlImage` must be a picture { width, height, data }",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlImage: [] }),
      "`controlImage` must be a picture, or a list of them, got []",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlMode: [3] }),
      "`controlMode` must have as many entries as `controlImage`, got 1 and 2",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlMode: [3, 6] }),
      "`controlMode` must be a whole number lower than 6 (num_control_type) for each picture, got 6",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlImage: picture(48, 32), controlMode: undefined }),
      "lower than 6 (num_control_type) for each picture, got undefined",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlMode: [3, -1] }),
      "lower than 6 (num_control_type) for each picture, got -1",
    ],
    [
      "XLControlNetUnion",
      both,
      () => ({ controlMode: [5, 3] }),
      "lower than 3 (num_control_type) for each picture, got 3",
    ],
    ["XLControlNetUnion", both, () => ({ controlMode: [[5], [2]] }), "for each picture, got [5]"],
    [
      "XLControlNetUnion",
      both,
      () => ({ controlImage: picture(48, 32), controlMode: 0 }),
      "`controlImage` must be a list with an entry for each of 2 ControlNets, got 1",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlImage: [pictures(), picture(48, 32)] }),
      "`controlImage` must be one picture, or one for each prompt, got 2 for 1 prompt",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlImage: [picture(48, 32), picture(61, 45)] }),
      "must have one size, got 48x32 and 56x40; give `height` and `width`",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlnetConditioningScale: [1, 1, 1] }),
      "`controlnetConditioningScale` must be a number, or one for each of 2 pictures, got [1, 1, 1]",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ controlGuidanceStart: [0, 0.5], controlGuidanceEnd: 0.5 }),
      "`controlGuidanceStart` must be less than `controlGuidanceEnd`, got 0.5 and 0.5",
    ],
    [
      "XLControlNetUnion",
      ["union"],
      () => ({ callbackOnStepEndTensorInputs: ["control_image"] }),
      "must be of latents, prompt_embeds, add_text_embeds, add_time_ids, got",
    ],
    [
      "XLControlNetUnionImg2Img",
      ["union"],
      () => ({ image: undefined }),
      "`image` must be a picture { width, height, data }",
    ],
    ["XLControlNetUnionInpaint", ["union"], () => ({ maskImage: undefined }), "`maskImage` must be a picture"],
  ];
  for (const [name, names, options, message] of WRONG)
    test(`${name} with ${names.join(" + ")} refuses: ${message}`, async () => {
      await expect(drawn(made(name, ...names), options())).rejects.toThrow(message);
    });

  test("a UNet for masks is refused with the class that draws with it", async () => {
    const unet = await madeUNet("xl masked", "sdxl");
    const masked = StableDiffusionXLInpaintPipeline.fromPipe(base, { unet });
    const pipeline = StableDiffusionXLControlNetUnionInpaintPipeline.fromPipe(masked, {
      controlnet: nets.get("union")!,
    });
    await expect(drawn(pipeline as unknown as AnyPipeline)).rejects.toThrow(
      "StableDiffusionXLInpaintPipeline.fromPipe(pipeline) draws with it",
    );
    unet.dispose();
  });
});
