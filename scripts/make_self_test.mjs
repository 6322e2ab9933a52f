// Writes models/self_test.rgb, the picture that `webgpu-diffusers info --self-test` compares with: diffusers' golden as bytes.
import { readFile, writeFile } from "node:fs/promises";

const golden = await readFile(new URL("../test/fixtures/shapes/0-DDIMScheduler.safetensors", import.meta.url));
const dataStart = 8 + Number(golden.readBigUInt64LE(0));
const { image } = JSON.parse(golden.toString("utf8", 8, dataStart));
const [from, to] = image.data_offsets.map((offset) => dataStart + offset);
const values = new Float32Array(golden.buffer.slice(golden.byteOffset + from, golden.byteOffset + to));
const target = new URL("../models/self_test.rgb", import.meta.url);
await writeFile(
  target,
  Uint8ClampedArray.from(values, (value) => 255 * value),
);
console.log(`${target.pathname}: ${image.shape.join(" x ")} bytes`);
