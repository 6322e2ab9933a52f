import { describe, expect, test } from "vitest";
import { UNet2DModel } from "../../src/nn/unet/unet_2d.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { asTensor, expectIntermediates, expectMatches, recordOutputs, TOLERANCE } from "../support/models.js";
import { changed, parseSafetensors, writeSafetensors, type Changes, type RawTensor } from "../support/repositories.js";

const REPO = "models/repos/ddpm-cifar";
const WEIGHTS = "diffusion_pytorch_model.safetensors";

const ODD = "models/repos/odd";
/** Timesteps as in fixtures/models/manifest.json. */
const CASES = [
  { golden: "unet2d/ddpm_cifar", repo: REPO, timestep: 999 },
  { golden: "unet2d/ddpm_cifar_b3", repo: REPO, timestep: [0, 13, 500] },
  // The same weights without attention_head_dim: heads of 8 channels.
  { golden: "unet2d/ddpm_cifar_nohead", repo: REPO, config: `${REPO}-nohead`, timestep: 999 },
  { golden: "odd/u2d_learned_nomid", repo: `${ODD}/u2d_learned_nomid`, timestep: [49, 0, 7] },
  { golden: "odd/u2d_noattn_pad1", repo: `${ODD}/u2d_noattn_pad1`, timestep: 123 },
  { golden: "odd/u2d_resnet_sampling", repo: `${ODD}/u2d_resnet_sampling`, timestep: [4, 40, 400] },
] as const;

/** Modules whose result here is that of torch's: elsewhere an activation is fused in. */
const COMPARABLE =
  /(resnets\.\d|attentions\.\d|samplers\.0|conv_in|conv_out|mid_block|(down|up)_blocks\.\d|embedding)$/;

describe("UNet2DModel", () => {
  const config = (path = REPO): Promise<Record<string, unknown>> => readFixtureJSON(`${path}/config.json`);
  const refused = async (change: object): Promise<unknown> => new UNet2DModel({ ...(await config()), ...change });

  for (const dtype of ["float32", "float16"] as const)
    for (const { golden, repo, timestep, ...other } of CASES)
      test(`${golden} in ${dtype}`, async () => {
        const goldens = await readGolden(`models/gold/${golden}.safetensors`);
        const changes: Changes = "config" in other ? { "config.json": await config(other.config) } : {};
        const source = await changed(fixturePath(repo), changes);
        const model = await UNet2DModel.fromPretrained(source, { dtype });
        const outputs = recordOutputs(model, (name) => COMPARABLE.test(name) && goldens.has(`mid.${name}`));
        const input = asTensor(goldens, "in.sample");
        const classLabels = goldens.has("in.class_labels") ? asTensor(goldens, "in.class_labels") : undefined;
        const { sample } = model.forward(input, timestep, { classLabels });
        await expectMatches(sample, goldens.get("out.sample"), "out.sample", TOLERANCE[dtype]);
        const compared = await expectIntermediates(outputs, goldens, TOLERANCE[dtype]);
        if (golden.endsWith("ddpm_cifar_b3")) expect(compared).toBeGreaterThan(30);
        if (golden.startsWith("odd/")) expect(compared).toBeGreaterThan(6);
        for (const tensor of [input, classLabels, sample, model]) tensor?.dispose();
      });

  test("loads from the root of a folder and frees everything", async () => {
    const device = await ensureDevice();
    const held = async (): Promise<number> => {
      await device.flush();
      return device.memoryUse.buffers - device.memoryUse.pooledBuffers;
    };
    const before = await held();
    const model = await UNet2DModel.fromPretrained(fixturePath(REPO), { useSafetensors: true });
    expect([model.config.attention_head_dim, model.config.sample_size]).toEqual([null, 16]);
    model.dispose();
    expect(await held()).toBe(before);
  });

  test("attention_head_dim is the size of a head; channels that fill no head have none", async () => {
    const inner = async (change: object, without?: string): Promise<number[]> => {
      const given: Record<string, unknown> = { ...(await config()), ...change };
      if (without) delete given[without];
      const shapes = new Map([...new UNet2DModel(given).parameters()].map(([key, { shape }]) => [key, shape]));
      return [...shapes.get("mid_block.attentions.0.to_q.weight")!];
    };
    expect(await inner({})).toEqual([16, 16]);
    expect(await inner({}, "attention_head_dim")).toEqual([16, 16]);
    expect(await inner({ attention_head_dim: 12 })).toEqual([12, 16]);
    await expect(refused({ attention_head_dim: 17 })).rejects.toThrow("heads of 17 (attention_head_dim) do not fit 16");
  });

  test("add_attention: false leaves the middle without attention", async () => {
    const without = new UNet2DModel({ ...(await config()), add_attention: false });
    const keys = [...without.parameters()].map(([key]) => key);
    expect(keys.filter((key) => key.startsWith("mid_block.attentions"))).toEqual([]);
    expect(keys).toContain("mid_block.resnets.1.conv2.weight");

    // Attention that adds nothing gives the same as none.
    const tensors = parseSafetensors(await readFixture(`${REPO}/${WEIGHTS}`));
    const zeroed = new Map<string, RawTensor>();
    const removed = new Map<string, RawTensor>();
    for (const [key, tensor] of tensors) {
      const middle = key.startsWith("mid_block.attentions");
      if (!middle) removed.set(key, tensor);
      const zero = middle && key.includes("proj_attn");
      zeroed.set(key, zero ? { ...tensor, bytes: new Uint8Array(tensor.bytes.length) } : tensor);
    }
    const run = async (weights: Map<string, RawTensor>, add_attention: boolean): Promise<number[]> => {
      const source = await changed(fixturePath(REPO), { [WEIGHTS]: writeSafetensors(weights) });
      const model = await UNet2DModel.fromPretrained(source, { config: { add_attention } });
      const input = Tensor.from(
        Float32Array.from({ length: 192 }, (_, i) => Math.sin(i)),
        [1, 3, 8, 8],
      );
      const { sample } = model.forward(input, 10);
      const values = Array.from(await sample.data());
      for (const tensor of [input, sample, model]) tensor.dispose();
      return values;
    };
    expect(await run(removed, false)).toEqual(await run(zeroed, true));
  });

  const WRONG: [object, string][] = [
    [{ class_embed_type: "projection" }, 'UNet2DModel: config class_embed_type = "projection" is not supported'],
    [{ time_embedding_type: "cosine" }, 'config time_embedding_type = "cosine" is not supported'],
    [{ time_embedding_type: "learned" }, 'time_embedding_type = "learned" needs num_train_timesteps'],
    [{ resnet_time_scale_shift: "spatial" }, 'config resnet_time_scale_shift = "spatial" is not supported'],
    [{ downsample_type: "fir" }, 'config downsample_type = "fir" is not supported'],
    [{ down_block_types: ["DownEncoderBlock2D"] }, 'config down_block_types = ["DownEncoderBlock2D"] is not supported'],
    [{ up_block_types: ["UpBlock2D"] }, "config up_block_types needs 4 entries, one per block_out_channels, got 1"],
    [{ norm_num_groups: 5 }, "5 groups (norm_num_groups) do not divide 8 channels"],
    [{ norm_num_groups: null }, "config norm_num_groups = null is not supported with blocks of type DownBlock2D"],
    [
      { in_channels: 4, down_block_types: ["DownBlock2D", "SkipDownBlock2D", "DownBlock2D", "DownBlock2D"] },
      "config in_channels = 4 is not supported with down_block_types",
    ],
  ];
  for (const [change, message] of WRONG)
    test(`refuses ${JSON.stringify(change)}`, async () => {
      await expect(refused(change)).rejects.toThrow(message);
    });

  test("refuses wrong shapes", async () => {
    const model = new UNet2DModel(await config());
    const zeros = (...shape: number[]): Tensor => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape);
    await ensureDevice();
    const inputs = [zeros(1, 4, 16, 16), zeros(1, 3, 16, 12), zeros(2, 3, 16, 16)];
    expect(() => model.forward(inputs[0], 1)).toThrow("sample must be [batch, 3, height, width], got [1, 4, 16, 16]");
    expect(() => model.forward(inputs[1], 1)).toThrow("must be multiples of 8, got 16 and 12");
    expect(() => model.forward(inputs[2], [1, 2, 3])).toThrow("takes one timestep or one per image (2), got 3");
    for (const tensor of inputs) tensor.dispose();
  });
});
