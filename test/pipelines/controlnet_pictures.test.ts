/** ControlNets of Stable Diffusion XL, and with pictures to begin with and masks; test/pipelines/controlnet.test.ts has the first pipeline. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type DiffusionPipeline,
  MultiControlNetModel,
  RawImage,
  schedulerClass,
  SDCFGCutoffCallback,
  SDXLCFGCutoffCallback,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionXLControlNetImg2ImgPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLControlNetPipeline,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLPipeline,
  type AnyPipeline,
  type ControlNetModel,
  Tensor,
} from "../../src/index.js";
import { CONTROLNET_PICTURES, controlNet, IMAGES, madeUNet, MASKS } from "../support/controlnet_pictures.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { picture } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, ramp, seeded } from "../support/sdxl_pictures.js";

const CLASSES = [
  StableDiffusionXLControlNetPipeline,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionXLControlNetImg2ImgPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
];

describe("pipelines with ControlNets", () => {
  const nets = new Map<string, ControlNetModel>();
  const bases = {} as Record<string, AnyPipeline>;
  const pipelineOf = ({
    pipeline: name,
    unet,
    nets: names,
  }: (typeof CONTROLNET_PICTURES.runs)[number]): AnyPipeline => {
    const models = names.map((each) => nets.get(each)!);
    const controlnet = models.length > 1 ? new MultiControlNetModel(models) : models[0];
    const Class = CLASSES.find(({ className }) => className === `StableDiffusion${name}Pipeline`)!;
    const pipeline = Class.fromPipe(bases[unet], { controlnet }) as unknown as AnyPipeline;
    pipeline.setProgressBarConfig({ disable: true });
    return pipeline;
  };
  beforeAll(async () => {
    await testDevice();
    const names = new Set(CONTROLNET_PICTURES.runs.flatMap((run) => run.nets));
    for (const name of names) nets.set(name, await controlNet(name));
    const sd15 = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"));
    const sdxl = await StableDiffusionXLPipeline.fromPretrained(fixturePath("models/repos/sdxl"));
    Object.assign(bases, {
      sd15,
      masked: StableDiffusionPipeline.fromPipe(sd15, { unet: await madeUNet("masked", "sd15") }),
      sdxl,
      "xl masked": StableDiffusionXLPipeline.fromPipe(sdxl, { unet: await madeUNet("xl masked", "sdxl") }),
      refiner: StableDiffusionXLImg2ImgPipeline.fromPipe(sdxl, {
        ...{ unet: await madeUNet("refiner", "sdxl"), text_encoder: null, tokenizer: null },
        requires_aesthetics_score: true,
      }),
    });
  });
  afterAll(() => {
    for (const each of [...nets.values(), ...Object.values(bases)]) each.dispose();
  });

  const known = CONTROLNET_PICTURES.runs.filter(({ pipeline }) =>
    CLASSES.some(({ className }) => className === `StableDiffusion${pipeline}Pipeline`),
  );
  for (const [i, run] of known.entries()) {
    const { scheduler, image, mask, control, options, shape } = run;
    const named = [run.pipeline, run.unet, run.nets.join(" + "), scheduler, image, mask, control]
      .filter(Boolean)
      .join(", ");
    test(`${i}: ${named}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelineOf(run);
      pipeline.scheduler = schedulerClass(scheduler).fromConfig((pipeline.scheduler as { config: object }).config);
      const { prompt = "a photo of a cat", seeds, ...given } = options as Record<string, unknown>;
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const call = {
        ...{ numInferenceSteps: 4, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...Object.fromEntries(
          Object.entries(given).map(([name, value]) => [
            camelCase(name),
            name === "latents" ? ramp(2, -2, [1, 4, 4, 6]) : value,
          ]),
        ),
        ...(image === null
          ? { image: IMAGES[control]() }
          : { image: IMAGES[image](), controlImage: IMAGES[control](), maskImage: mask ? MASKS[mask]() : undefined }),
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

  const made = (pipeline: string, unet: string, names: string[]): AnyPipeline =>
    pipelineOf({ ...CONTROLNET_PICTURES.runs[0], pipeline, unet, nets: names });
  const sources = ({ className }: AnyPipeline): object => ({
    ...{ image: IMAGES["48x32"](), numInferenceSteps: 2, generator: seeded(8), outputType: "latent" },
    ...(/Img2Img|Inpaint/.test(className) && { controlImage: IMAGES["48x32"](), strength: 1 }),
    ...(className.includes("Inpaint") && { maskImage: MASKS["48x32"]() }),
  });
  const drawn = async (pipeline: AnyPipeline, options: object = {}): Promise<Float32Array> =>
    numbers((await pipeline("a cat", { ...sources(pipeline), ...options })) as { images: Tensor });

  for (const [name, unet, net, wanted] of [
    ["ControlNetImg2Img", "sd15", "sd", ["control_image 2,3,32,48", "negative_prompt_embeds 1,77,32"]],
    ["ControlNetInpaint", "masked", "sd", ["control_image 2,3,32,48", "mask 2,1,4,6", "masked_image_latents 2,4,4,6"]],
    [
      "XLControlNetInpaint",
      "xl masked",
      "xl",
      [
        "control_image 2,3,32,48",
        "mask 2,1,4,6",
        "masked_image_latents 2,4,4,6",
        "add_time_ids 2,6",
        "add_text_embeds 2,28",
      ],
    ],
    ["XLControlNetImg2Img", "sdxl", "xl", ["control_image 2,3,32,48", "negative_prompt_embeds 1,77,56"]],
    ["XLControlNet", "sdxl", "xl", ["image 2,3,32,48", "add_time_ids 2,6", "negative_prompt_embeds 1,77,56"]],
  ] as const)
    test(`${name}: a callback gets what it asks for, gives another picture, ends the guidance; memory is what it was`, async () => {
      const pipeline = made(name, unet, [net]);
      const { device } = pipeline;
      const tensorName = name === "XLControlNet" ? "image" : "control_image";
      // The first call makes what stays, such as the cache of random numbers.
      const plain = await drawn(pipeline);
      device.trim();
      const before = device.memoryUse.bytes;
      let seen: string[] = [];
      const callbackOnStepEnd = (_: unknown, step: number, __: number, tensors: Record<string, Tensor>): object => {
        seen = Object.entries(tensors).map(([key, tensor]) => `${key} ${String(tensor.shape)}`);
        if (step > 0) return {};
        const { shape, size } = tensors[tensorName];
        return { [tensorName]: Tensor.from(new Float32Array(size), shape) };
      };
      const inputs = wanted.map((each) => each.split(" ")[0]);
      const black = await drawn(pipeline, { callbackOnStepEnd, callbackOnStepEndTensorInputs: inputs });
      expect(seen).toEqual(wanted);
      expect(black).not.toEqual(plain);
      const Cutoff = name.startsWith("XL") ? SDXLCFGCutoffCallback : SDCFGCutoffCallback;
      for (const guessMode of [false, true]) {
        const ended = await drawn(pipeline, { guessMode, callbackOnStepEnd: new Cutoff({ cutoffStepIndex: 0 }) });
        expect(ended.every(Number.isFinite)).toBe(true);
      }
      const controller = new AbortController();
      const aborting = { signal: controller.signal, callbackOnStepEnd: () => controller.abort(new Error("enough")) };
      await expect(drawn(pipeline, aborting)).rejects.toThrow("enough");
      const latents = ramp(0, 1, [2, 4, 4, 4]);
      await expect(drawn(pipeline, { latents })).rejects.toThrow("`latents` must be [1, 4, ");
      latents.dispose();
      expect(await drawn(pipeline)).toEqual(plain);
      device.trim();
      expect(device.memoryUse.bytes).toBe(before);
    });

  test("a picture for a ControlNet that is smaller than the one that is cropped is black beyond its edges, as in diffusers", async () => {
    const pipeline = made("ControlNetInpaint", "sd15", ["sd"]);
    const image = IMAGES["96x64"]();
    const small = picture(50, 30);
    const padded = new RawImage(96, 64, new Uint8ClampedArray(96 * 64 * 3));
    for (let y = 0; y < 30; y++) padded.data.set(small.data.slice(150 * y, 150 * (y + 1)), 288 * y);
    const call = { ...sources(pipeline), image, maskImage: MASKS["96x64"](), height: 32, width: 48, outputType: "pil" };
    const draw = async (controlImage: RawImage): Promise<RawImage> => {
      const options = { ...call, paddingMaskCrop: 4, controlImage, generator: seeded(8) };
      return ((await pipeline("a cat", options)) as { images: RawImage[] }).images[0];
    };
    const [got, wanted] = [await draw(small), await draw(padded)];
    expect([got.width, got.height]).toEqual([96, 64]);
    expect(got.data).toEqual(wanted.data);
  });

  test("pipelines are made of each other, and of plain ones with a ControlNet", () => {
    const steered = made("ControlNetInpaint", "sd15", ["sd"]);
    for (const Class of CLASSES.filter(({ className }) => !className.includes("XL"))) {
      const other = Class.fromPipe(steered as unknown as StableDiffusionPipeline);
      expect((other as unknown as { controlnet: unknown }).controlnet).toBe(nets.get("sd"));
      expect(() => Class.fromPipe(bases.sd15)).toThrow("components controlnet are missing");
    }
    const scored = made("XLControlNetImg2Img", "refiner", ["refiner"]);
    expect((scored as unknown as DiffusionPipeline).config.requires_aesthetics_score).toBe(true);
    const text = StableDiffusionXLControlNetPipeline.fromPipe(scored as unknown as StableDiffusionXLPipeline);
    const again = StableDiffusionXLControlNetInpaintPipeline.fromPipe(text);
    expect(again.config.requires_aesthetics_score).toBe(true);
  });

  const WRONG: [name: string, unet: string, names: string[], options: () => object, message: string][] = [
    [
      "ControlNetImg2Img",
      "sd15",
      ["sd"],
      () => ({ controlImage: undefined }),
      "`controlImage` must be a picture { width, height, data }",
    ],
    [
      "ControlNetImg2Img",
      "sd15",
      ["sd"],
      () => ({ image: undefined }),
      "`image` must be a picture { width, height, data }",
    ],
    ["ControlNetImg2Img", "sd15", ["sd"], () => ({ strength: 1.5 }), "`strength` must be from 0 to 1, got 1.5"],
    ["ControlNetImg2Img", "sd15", ["sd"], () => ({ height: 4 }), "`height` must be a whole number from 8 on, got 4"],
    [
      "ControlNetImg2Img",
      "sd15",
      ["sd", "sd bgr"],
      () => ({}),
      "`controlImage` must be a list with an entry for each of 2 ControlNets",
    ],
    [
      "ControlNetImg2Img",
      "sd15",
      ["sd"],
      () => ({ callbackOnStepEndTensorInputs: ["image"] }),
      "must be of latents, prompt_embeds, negative_prompt_embeds, control_image, got",
    ],
    [
      "ControlNetImg2Img",
      "masked",
      ["sd"],
      () => ({}),
      "StableDiffusionControlNetInpaintPipeline.fromPipe(pipeline) draws with it",
    ],
    ["ControlNetInpaint", "sd15", ["sd"], () => ({ maskImage: undefined }), "`maskImage` must be a picture"],
    ["ControlNetInpaint", "sd15", ["sd"], () => ({ height: 30 }), "have to be divisible by 8 but are 30 and 48"],
    [
      "ControlNetInpaint",
      "sd15",
      ["sd"],
      () => ({ paddingMaskCrop: 4 }),
      '`outputType` must be "image" with `paddingMaskCrop`, got "latent"',
    ],
    [
      "ControlNetInpaint",
      "sd15",
      ["xl"],
      () => ({}),
      "the ControlNet was trained for another UNet: its config has block_out_channels",
    ],
    ["XLControlNet", "sdxl", ["xl"], () => ({ targetSize: 5 }), "`targetSize` must be two numbers"],
    [
      "XLControlNet",
      "xl masked",
      ["xl"],
      () => ({}),
      "StableDiffusionXLControlNetInpaintPipeline.fromPipe(pipeline) draws with it",
    ],
    [
      "XLControlNet",
      "refiner",
      ["refiner"],
      () => ({}),
      "StableDiffusionXLControlNetImg2ImgPipeline.fromPipe(pipeline, { requires_aesthetics_score: true }) draws with it",
    ],
    ["XLControlNetInpaint", "sdxl", ["xl"], () => ({ strength: 0.1 }), "no step is left; give more of one of them"],
    ["XLControlNetInpaint", "sdxl", ["xl"], () => ({ guessMode: 1 }), "`guessMode` must be true or false, got 1"],
  ];
  for (const [name, unet, names, options, message] of WRONG)
    test(`${name} of ${unet} with ${names.join(" + ")} refuses: ${message}`, async () => {
      await expect(drawn(made(name, unet, names), options())).rejects.toThrow(message);
    });
});
