import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  EulerDiscreteScheduler,
  Generator,
  StableDiffusionPipeline,
  schedulerClass,
  type DDPMPipeline,
  type Scheduler,
} from "../../src/index.js";
import { inTurn } from "../../src/pipelines/call/in_turn.js";
import { fixturePath } from "../support/files.js";
import { loadRepo } from "../support/pipelines.js";

const PROMPT = "a photograph of an astronaut";
const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);

describe("calls that share a pipeline or a scheduler", () => {
  let pipeline: StableDiffusionPipeline;
  let original: Scheduler;
  beforeAll(async () => {
    pipeline = await loadRepo("sd15");
    original = pipeline.scheduler;
  });
  afterAll(() => pipeline.dispose());

  const draw = async (seed: number, guidanceScale: number, by = pipeline): Promise<number[]> => {
    const { images } = await by(PROMPT, { numInferenceSteps: 4, guidanceScale, generator: seeded(seed) });
    return Array.from(images[0].data);
  };

  for (const swap of ["PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"])
    test(`${swap}: at once gives the pictures of one after the other`, async () => {
      pipeline.scheduler = schedulerClass(swap).fromConfig(original.config);
      const alone = [await draw(8, 3), await draw(9, 7)];
      expect(await Promise.all([draw(8, 3), draw(9, 7)])).toEqual(alone);
    });

  test("pipelines that share a scheduler take turns on it", async () => {
    pipeline.scheduler = EulerDiscreteScheduler.fromConfig(original.config);
    const other = new StableDiffusionPipeline(pipeline.components);
    other.setProgressBarConfig({ disable: true });
    const alone = [await draw(8, 3), await draw(9, 7)];
    expect(await Promise.all([draw(8, 3), draw(9, 7, other)])).toEqual(alone);
  });

  test("a call keeps the scheduler that the pipeline had when it was made", async () => {
    const wanted: number[][] = [];
    const schedulers = ["DDIMScheduler", "EulerDiscreteScheduler"].map((name) =>
      schedulerClass(name).fromConfig(original.config),
    );
    for (const scheduler of schedulers) {
      pipeline.scheduler = scheduler;
      wanted.push(await draw(8, 3));
    }
    const calls = schedulers.map((scheduler) => {
      pipeline.scheduler = scheduler;
      return draw(8, 3);
    });
    expect(await Promise.all(calls)).toEqual(wanted);
    expect(wanted[0]).not.toEqual(wanted[1]);
  });

  test("a call that waits can be aborted, and those before and behind it draw", async () => {
    pipeline.scheduler = original;
    const alone = await draw(8, 3);
    const controller = new AbortController();
    const first = draw(8, 3);
    const aborted = pipeline(PROMPT, { numInferenceSteps: 4, signal: controller.signal });
    const last = draw(8, 3);
    controller.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    expect(await Promise.all([first, last])).toEqual([alone, alone]);
  });

  test("pipelines without a prompt take turns too", async () => {
    const ddpm = await DiffusionPipeline.fromPretrained<DDPMPipeline>(fixturePath("models/repos/ddpm-cifar"));
    ddpm.setProgressBarConfig({ disable: true });
    const pictures = async (seed: number): Promise<number[]> => {
      const { images } = await ddpm({ numInferenceSteps: 3, generator: seeded(seed) });
      return Array.from(images[0].data);
    };
    const alone = [await pictures(1), await pictures(2)];
    expect(await Promise.all([pictures(1), pictures(2)])).toEqual(alone);
    ddpm.dispose();
  });
});

test("a turn comes when all objects are free, and after a failure too", async () => {
  const [a, b] = [{}, {}];
  const log: string[] = [];
  const work = (name: string, ms: number) => async (): Promise<void> => {
    log.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, ms));
    log.push(`${name} ends`);
    if (name === "1") throw new Error("fails");
  };
  const all = [
    inTurn([a], undefined, work("1", 20)),
    inTurn([b], undefined, work("2", 5)),
    inTurn([a, b], undefined, work("3", 1)),
  ];
  expect((await Promise.allSettled(all)).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(log).toEqual(["1 begins", "2 begins", "2 ends", "1 ends", "3 begins", "3 ends"]);
});
