// The guide's Flax example, as docs/guide.md has it, on the embedded model: with one device, and with two.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { FlaxParams, RawImage, ReplicatedParams, Tensor } from "../../src/index.js";
import { programsOf, runProgram } from "../support/guide_node.js";

const NAMES = ["images", "pictures", "replicated", "params", "promptIds", "ids"] as const;

interface Result {
  images: Tensor;
  pictures: RawImage[];
  replicated: ReplicatedParams;
  params: FlaxParams;
  promptIds: Tensor;
  ids: Tensor;
}

const warnings: string[] = [];
const { warn } = console;
beforeAll(() => void (console.warn = (text: string) => void warnings.push(text)));
afterAll(() => {
  console.warn = warn;
  delete process.env.WEBGPU_DIFFUSERS_DEVICES;
});

async function draw(devices: string): Promise<RawImage[]> {
  process.env.WEBGPU_DIFFUSERS_DEVICES = devices;
  const { images, pictures, replicated, params, promptIds, ids } = (await runProgram(
    programsOf("guide.md")[2],
    NAMES,
  )) as Result;
  const count = Number(devices);
  expect(promptIds.shape).toEqual([count, 77]);
  expect(promptIds.dtype).toBe("int32");
  expect(images.shape).toEqual([count, 1, 64, 64, 3]);
  expect(pictures).toHaveLength(count);
  for (const owned of [images, ids, promptIds, replicated, params]) owned.dispose();
  return pictures;
}

const pixel = ({ data, width }: RawImage, x: number, y: number): number[] => [
  ...data.slice(3 * (y * width + x), 3 * (y * width + x) + 3),
];

test("the guide's example draws a red circle on a white background on every device", async () => {
  const [one] = await draw("1");
  const two = await draw("2");
  expect(warnings).toHaveLength(2);
  expect(warnings[0]).toMatch(/no variant "bf16" of text_encoder, unet, vae/);
  // split(key, 1) and split(key, 2) are other keys, so that these are three different pictures of the same thing.
  for (const picture of [one, ...two]) {
    const corner = pixel(picture, 1, 1);
    expect(Math.min(...corner)).toBeGreaterThan(200);
    const red = Array.from({ length: 64 * 64 }, (_, i) => pixel(picture, i % 64, Math.floor(i / 64)));
    expect(red.filter(([r, g, b]) => r > 150 && g < 100 && b < 100).length).toBeGreaterThan(200);
  }
});
