import { describe, expect, test } from "vitest";
import { AutoencoderKL } from "../../src/index.js";
import { Parameter, type Packing } from "../../src/nn/module.js";
import { isWeightFile, layoutWeights, parseShardSize, shardOrder } from "../../src/nn/weights/save_layout.js";
import { tensorBytes } from "../../src/nn/weights/save_weights.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { testDevice } from "../support/gpu.js";

const tensors = (sizes: Record<string, number>): { key: string; shape: number[] }[] =>
  Object.entries(sizes).map(([key, n]) => ({ key, shape: [n] }));
const keys = (sizes: Record<string, number>, maxShardSize: number): (readonly string[])[] =>
  layoutWeights(tensors(sizes), { stem: "model", dtype: "float16", maxShardSize }).files.map((file) => file.keys);

describe("layout of saved weights", () => {
  test("shards fill in torch's order; a tensor above the limit gets its own, before the one being filled", () => {
    // huggingface_hub's own example: [6, 6, 2, 6, 2, 2] with limit 10
    expect(keys({ a: 3, b: 3, c: 1, d: 3, e: 1, f: 1 }, 10)).toEqual([["a"], ["b", "c"], ["d", "e", "f"]]);
    expect(keys({ a: 1, b: 9, c: 1 }, 10)).toEqual([["b"], ["a", "c"]]);
    expect(keys({ z: 1, a: 1 }, 100)).toEqual([["a", "z"]]);
  });

  test("the header is compact JSON, padded with spaces to eight bytes", () => {
    const { files } = layoutWeights(tensors({ b: 2, a: 1 }), { stem: "model", dtype: "float32", maxShardSize: "1KB" });
    const [{ header }] = files;
    const length = Number(new DataView(header.buffer).getBigUint64(0, true));
    expect([header.length, length % 8]).toEqual([8 + length, 0]);
    expect(new TextDecoder().decode(header.subarray(8)).trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
        '"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
    );
  });

  test("too many shards for the loader are refused", () => {
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`k${i}`, 1]));
    expect(() => keys(many, 1)).toThrow("maxShardSize 1 makes 1001 files, more than 1000");
  });

  test("sizes are read as huggingface_hub reads them", () => {
    const sizes: [number | string, number][] = [
      ["10GB", 1e10],
      ["1.5kb", 1500],
      [" 2 MB ", 2e6],
      ["1TB", 1e12],
      [123, 123],
    ];
    for (const [size, bytes] of sizes) expect(parseShardSize(size)).toBe(bytes);
    for (const size of ["10GiB", "GB", "10", "-1GB", "1.2.3GB", -1, 0, NaN, Infinity, null, {}])
      expect(() => parseShardSize(size as string)).toThrow(/maxShardSize must be/);
  });

  test("transformers sorts them by name, layers by number, and counts the parameters", () => {
    const layers = [10, 2].flatMap((i) => [`layers.${i}.mlp.fc1.w`, `layers.${i}.layer_norm1.w`]);
    expect(shardOrder([...layers, "embeddings.w"], "model")).toEqual([
      "embeddings.w",
      "layers.2.layer_norm1.w",
      "layers.2.mlp.fc1.w",
      "layers.10.layer_norm1.w",
      "layers.10.mlp.fc1.w",
    ]);
    const metadata = (stem: string): unknown => {
      const { index } = layoutWeights(tensors({ a: 3, b: 4 }), { stem, dtype: "float16", maxShardSize: 8 });
      return (JSON.parse(index!.text) as { metadata: unknown }).metadata;
    };
    expect(metadata("model")).toEqual({ total_parameters: 7, total_size: 14 });
    expect(metadata("diffusion_pytorch_model")).toEqual({ total_size: 14 });
  });

  test("keys come in the order in which torch's classes register them", () => {
    const ours = ["mid_block.resnets.0.w", "mid_block.attentions.0.w", "up_blocks.0.resnets.0.w", "conv_out.w"];
    expect(shardOrder(["conv_in.w", ...ours], "diffusion_pytorch_model")).toEqual([
      "conv_in.w",
      "up_blocks.0.resnets.0.w",
      "mid_block.attentions.0.w",
      "mid_block.resnets.0.w",
      "conv_out.w",
    ]);
    // KCrossAttnUpBlock2D registers its attentions last.
    const k = ["resnets.0.w", "resnets.1.w", "attentions.0.norm2.w", "attentions.0.attn2.w", "attentions.1.attn2.w"];
    expect(
      shardOrder(
        k.map((key) => `up_blocks.0.${key}`),
        "diffusion_pytorch_model",
      ),
    ).toEqual(k.map((key) => `up_blocks.0.${key}`));
    // What a UNet with prompts has beside its trunk, as UNet2DConditionModel(…).state_dict() has it.
    const beside = ["encoder_hid_proj.w", "add_embedding.w"];
    for (const classes of [[], ["class_embedding.w"]])
      expect(
        shardOrder(
          ["time_embedding.w", ...classes, "down_blocks.w", "conv_out.w", ...beside],
          "diffusion_pytorch_model",
        ),
      ).toEqual([
        "time_embedding.w",
        "encoder_hid_proj.w",
        ...classes,
        "add_embedding.w",
        "down_blocks.w",
        "conv_out.w",
      ]);
  });

  test("names of older weights are known, those of other variants and files are left alone", () => {
    const names = (variant?: string): string[] =>
      [
        "model.safetensors",
        "model.fp16.safetensors",
        "model-00001-of-00002.safetensors",
        "model.fp16-00001-of-00002.safetensors",
        "model-00001-of-00002.fp16.safetensors",
        "model.safetensors.index.json",
        "model.safetensors.index.fp16.json",
        "model.safetensors.fp16.index.json",
        "model.bin",
        "mymodel.safetensors",
        "model-1-of-2.safetensors",
        "model.safetensors.bak",
      ].filter((name) => isWeightFile(name, "model", variant));
    expect(names()).toEqual(["model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"]);
    expect(names("fp16")).toEqual([
      "model.fp16.safetensors",
      "model.fp16-00001-of-00002.safetensors",
      "model-00001-of-00002.fp16.safetensors",
      "model.safetensors.index.fp16.json",
      "model.safetensors.fp16.index.json",
    ]);
  });
});

describe("bytes of a parameter", () => {
  // Each above one piece (2^20 elements) and with odd sizes, so that pieces end inside rows of four.
  const SHAPES: [Packing, number[]][] = [
    ["none", [2_100_001]],
    ["none", [701, 3001]],
    ["linear", [1501, 1403]],
    ["conv", [257, 911, 3, 3]],
    ["conv", [5, 7, 1, 1]],
  ];
  for (const [packing, shape] of SHAPES)
    test(`${packing} [${shape.join(", ")}]`, async () => {
      const device = await testDevice();
      const parameter = new Parameter(shape, packing);
      const size = shape.reduce((a, b) => a * b, 1);
      const file = Float32Array.from({ length: size }, (_, i) => (i % 65_521) - 17.25);
      parameter.assign(device.keep(Tensor.from(packed(file, parameter), parameter.packedShape, { device })));
      let at = 0;
      let wrong = 0;
      for await (const bytes of tensorBytes(parameter, "float32")) {
        expect(bytes.length).toBeLessThanOrEqual(4 << 20);
        const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
        for (const value of values) if (value !== file[at++]) wrong++;
      }
      expect([at, wrong]).toEqual([size, 0]);
      parameter.dispose();
      device.trim();
    });
});

test("a browser is told what to give instead of a folder", async () => {
  const model = new AutoencoderKL({ block_out_channels: [32] });
  const node = (globalThis as { process?: { versions: object } }).process;
  const versions = node && Object.getOwnPropertyDescriptor(node, "versions");
  if (node) Object.defineProperty(node, "versions", { value: {}, configurable: true });
  const saved = model.savePretrained("folder");
  if (node && versions) Object.defineProperty(node, "versions", versions);
  await expect(saved).rejects.toThrow(
    "AutoencoderKL.savePretrained: a browser has no folders; instead of a path give an object",
  );
});

/** The numbers in the order of the packed shape. */
function packed(file: Float32Array, { shape, packing }: Parameter): Float32Array {
  if (packing === "none") return file;
  const [outputs, inputs, height = 1, width = 1] = shape;
  const values = new Float32Array(file.length);
  let to = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let i = 0; i < inputs; i++)
        for (let o = 0; o < outputs; o++) values[to++] = file[((o * inputs + i) * height + y) * width + x];
  return values;
}
