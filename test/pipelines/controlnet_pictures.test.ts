/** ControlNets of Stable Diffusion XL, and with pictures to begin with and masks; test/pipelines/controlnet.test.ts has the first pipeline. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  MultiControlNetModel,
  schedulerClass,
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
  type RawImage,
  type Tensor,
} from "../../src/index.js";
import { CONTROLNET_PICTURES, controlNet, IMAGES, madeUNet, MASKS } from "../support/controlnet_pictures.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
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
});
