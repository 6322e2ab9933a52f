import { expect, test } from "vitest";
import {
  type Device,
  DeviceLostError,
  DiffusionPipeline,
  FlaxStableDiffusionPipeline,
  Generator,
  requestDevice,
  type StableDiffusionPipeline,
  UNet2DConditionModel,
} from "../../src/index.js";
import { openRepository, type Repository, type RepositoryFile } from "../../src/loader/repository.js";
import { requestAdapter } from "../../src/tensor/adapters.js";
import { fixturePath } from "../support/files.js";

const PROMPT = "a photograph of an astronaut";

// In Node alone: each compiles on devices of its own, for many seconds in a browser, where recover.test.ts loses some.

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

/** A folder whose files cannot be read while `isGone()` says so of their path. */
async function vanishing(folder: string, isGone: (path: string) => boolean): Promise<Repository> {
  const repository = await openRepository(folder);
  return {
    name: folder,
    isLocal: true,
    async open(path) {
      const file = await repository.open(path);
      const read: RepositoryFile["read"] = async (...range) => {
        if (isGone(path)) throw new Error("the disk is gone");
        return (file as RepositoryFile).read(...range);
      };
      return file && { path: file.path, size: file.size, read, close: () => file.close?.() ?? Promise.resolve() };
    },
  };
}

for (const part of ["vae", "unet"])
  test(`a recovery that fails at the ${part} can be repeated`, async () => {
    const [device, fresh] = [await requestDevice(), await requestDevice()];
    let gone = false;
    const source = await vanishing(fixturePath("models/repos/sd15"), (path) => gone && path.startsWith(part));
    const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(source, { device });
    pipeline.setProgressBarConfig({ disable: true });
    const draw = () => pipeline(PROMPT, { numInferenceSteps: 1, height: 64, width: 64 });
    device.destroy();
    gone = true;
    await expect(pipeline.recover({ device: fresh })).rejects.toThrow("the disk is gone");
    await expect(draw()).rejects.toThrow("await pipeline.recover()");
    gone = false;
    await pipeline.recover({ device: fresh });
    expect((await draw()).images).toHaveLength(1);
    fresh.destroy();
  });

test("a recovery has nothing to do with the signal of the load", async () => {
  const [device, fresh] = [await requestDevice(), await requestDevice()];
  const load = new AbortController();
  const options = { device, signal: load.signal };
  const repository = fixturePath("models/repos/sd15");
  const unet = await UNet2DConditionModel.fromPretrained(repository, { subfolder: "unet", ...options });
  const [, params] = await FlaxStableDiffusionPipeline.fromPretrained(repository, options);
  load.abort(new Error("the load took too long"));
  const aborted = unet.recover({ device: fresh, signal: AbortSignal.abort(new Error("enough")) });
  await expect(aborted).rejects.toThrow("enough");
  await unet.recover({ device: fresh });
  expect(unet.device).toBe(fresh);
  expect(unet.isDisposed).toBe(false);
  await params.vae.recover({ device: fresh });
  expect(params.vae.device).toBe(fresh);
  device.destroy();
  fresh.destroy();
});
