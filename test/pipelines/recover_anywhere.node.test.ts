import { expect, test } from "vitest";
import {
  type Device,
  DeviceLostError,
  DiffusionPipeline,
  Generator,
  requestDevice,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { requestAdapter } from "../../src/tensor/adapters.js";
import { fixturePath } from "../support/files.js";

const PROMPT = "a photograph of an astronaut";

// In Node alone: it compiles on seven devices, for half a minute in a browser, where recover.test.ts loses some.
test("the device may be lost at any submit of a call: it says so at once, and after a recovery draws the same", async () => {
  let [submits, last] = [0, Infinity];
  const mortalDevice = async (): Promise<Device> => {
    const adapter = await requestAdapter();
    const request = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const own = await request(descriptor);
      const submit = own.queue.submit.bind(own.queue);
      own.queue.submit = (buffers) => {
        submit(buffers);
        if (++submits === last) own.destroy();
      };
      return own;
    };
    return requestDevice({ adapter });
  };
  const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(fixturePath("models/repos/sd15"), {
    device: await mortalDevice(),
  });
  pipeline.setProgressBarConfig({ disable: true });
  const draw = async (end = Infinity): Promise<number[]> => {
    [submits, last] = [0, end];
    const generator = new Generator("cpu").manualSeed(8);
    const { images } = await pipeline(PROMPT, { numInferenceSteps: 2, height: 32, width: 32, generator });
    return Array.from(images[0].data);
  };
  const wanted = await draw();
  const all = submits;
  expect(all).toBeGreaterThan(4);
  // The last one only frees memory: by then the picture is there.
  const points = Array.from({ length: 6 }, (_, i) => 1 + Math.round((i * (all - 2)) / 5));
  for (const point of points) {
    await expect(draw(point), `submit ${point} of ${all}`).rejects.toBeInstanceOf(DeviceLostError);
    await pipeline.recover({ device: await mortalDevice() });
    expect(await draw()).toEqual(wanted);
  }
  pipeline.device.destroy();
});
