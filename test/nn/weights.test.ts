import { beforeAll, describe, expect, test } from "vitest";
import { AutoencoderKL, CLIPTextModel, requestDevice, type Device, type RepositoryFile } from "../../src/index.js";
import { float32ToFloat16 } from "../../src/tensor/dtype.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { fixturePath, readFixture } from "../support/files.js";
import { memoryFile } from "../support/goldens.js";
import { madeWeights } from "../support/made_weights.js";
import { savedBytes } from "../support/models.js";
import { changed, parseSafetensors, writeSafetensors, type Changes, type RawTensor } from "../support/repositories.js";

const REPO = "models/repos/sd15";
const FILE = "vae/diffusion_pytorch_model.safetensors";
const KEY = "decoder.conv_in.weight";

describe("loading weights", () => {
  let weights: Map<string, RawTensor>;
  let device: Device;
  beforeAll(async () => {
    weights = parseSafetensors(await readFixture(`${REPO}/${FILE}`));
    device = await ensureDevice();
  });

  const load = async (changes: Changes, options = {}): Promise<AutoencoderKL> =>
    AutoencoderKL.fromPretrained(await changed(fixturePath(REPO), changes), { subfolder: "vae", ...options });

  /** The error of a load, with nothing left allocated. */
  async function refusal(changes: Changes, options = {}): Promise<string> {
    device.trim();
    await device.synchronize();
    const before = device.memoryUse;
    let message = "loaded";
    await load(changes, options).then(
      (model) => model.dispose(),
      (error: Error) => (message = error.message),
    );
    device.trim();
    await device.synchronize();
    expect(device.memoryUse.buffers).toBe(before.buffers);
    return message;
  }

  const edit = (change: (tensors: Map<string, RawTensor>) => void): Changes => {
    const copy = new Map(weights);
    change(copy);
    return { [FILE]: writeSafetensors(copy) };
  };

  test("names a missing tensor", async () => {
    expect(await refusal(edit((tensors) => tensors.delete(KEY)))).toContain(`missing ${KEY}`);
  });

  test("names an extra tensor", async () => {
    expect(await refusal(edit((tensors) => tensors.set("decoder.extra", tensors.get(KEY)!)))).toContain(
      "unexpected decoder.extra",
    );
  });

  test("names a misshapen tensor with both shapes", async () => {
    const message = await refusal(
      edit((tensors) => {
        const tensor = tensors.get(KEY)!;
        tensors.set(KEY, { ...tensor, shape: [tensor.shape[1], tensor.shape[0], 3, 3] });
      }),
    );
    expect(message).toContain(`${KEY}: the file has [4, 16, 3, 3], the config wants [16, 4, 3, 3]`);
  });

  test("refuses float64 and integers by name", async () => {
    const message = await refusal(
      edit((tensors) => {
        const tensor = tensors.get("decoder.conv_in.bias")!;
        tensors.set("decoder.conv_in.bias", {
          dtype: "F64",
          shape: tensor.shape,
          bytes: new Uint8Array(tensor.bytes.length * 2),
        });
      }),
    );
    expect(message).toContain("decoder.conv_in.bias: dtype F64 is not supported");
  });

  test("refuses a cut file before anything is allocated", async () => {
    const file = await readFixture(`${REPO}/${FILE}`);
    expect(await refusal({ [FILE]: file.slice(0, file.length - 100) })).toMatch(/safetensors/);
  });

  test("refuses pickles by name, with the way out", async () => {
    const message = await refusal({ [FILE]: null, "vae/diffusion_pytorch_model.bin": new Uint8Array(8) });
    expect(message).toContain("is a pickle");
    expect(message).toContain("safe_serialization=True");
  });

  test("a missing variant is an error, never the default weights", async () => {
    expect(await refusal({}, { variant: "fp16" })).toContain(
      "vae/diffusion_pytorch_model.fp16.safetensors: no such file",
    );
  });

  test("refuses dtypes that WebGPU does not have", async () => {
    expect(await refusal({}, { dtype: "bfloat16" })).toContain('dtype must be "float32" or "float16", got "bfloat16"');
  });

  test("an aborted load rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const load = refusal({}, { signal: controller.signal, progressCallback: () => controller.abort(reason) });
    expect(await load).toBe("enough");
    controller.abort(reason);
    expect(await refusal({}, { signal: controller.signal })).toBe("enough");
  });

  test("float16 and bfloat16 files widen to float32, whatever their alignment", async () => {
    const half = new Map<string, RawTensor>();
    const brain = new Map<string, RawTensor>();
    for (const [name, { shape, bytes }] of weights) {
      const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      half.set(name, { dtype: "F16", shape, bytes: new Uint8Array(float32ToFloat16(values).buffer) });
      const upper = Uint16Array.from(new Uint32Array(values.slice().buffer), (word) => word >>> 16);
      brain.set(name, { dtype: "BF16", shape, bytes: new Uint8Array(upper.buffer) });
    }
    for (const [tensors, dropped] of [
      [half, 2 ** -11],
      [brain, 2 ** -7],
    ] as const) {
      const model = await load({ [FILE]: writeSafetensors(tensors) });
      for (const [key, parameter] of model.parameters()) {
        const bytes = weights.get(key)!.bytes;
        const expected = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
        const actual = new Float32Array((await savedBytes(parameter)).buffer);
        const worst = expected.reduce(
          (most, value, i) => Math.max(most, Math.abs(actual[i] - value) / (Math.abs(value) + 1e-3)),
          0,
        );
        expect(worst).toBeLessThan(dropped);
      }
      model.dispose();
    }
  });

  test("of several windows: each is read into the memory of the one before, when that has left", async () => {
    const config = { block_out_channels: [128, 256], layers_per_block: 1, norm_num_groups: 8, latent_channels: 4 };
    const blocks = {
      down_block_types: Array(2).fill("DownEncoderBlock2D"),
      up_block_types: Array(2).fill("UpDecoderBlock2D"),
    };
    const shapes = new Map(
      [...new AutoencoderKL({ ...config, ...blocks }).parameters()].map(([key, { shape }]) => [key, shape]),
    );
    const bytes = madeWeights(shapes);
    expect(bytes.length).toBeGreaterThan(3 * 2 ** 23);
    const given = new Set<ArrayBuffer>();
    const read = async (
      start = 0,
      end = bytes.length,
      into?: Uint8Array<ArrayBuffer>,
    ): Promise<Uint8Array<ArrayBuffer>> => {
      if (into) given.add(into.buffer);
      const piece = into?.subarray(0, end - start) ?? new Uint8Array(end - start);
      piece.set(bytes.subarray(start, end));
      return piece;
    };
    const files: Record<string, RepositoryFile> = {
      "config.json": memoryFile(new TextEncoder().encode(JSON.stringify({ ...config, ...blocks })), "config.json"),
      "diffusion_pytorch_model.safetensors": { path: "weights", size: bytes.length, read },
    };
    const model = await AutoencoderKL.fromPretrained({ name: "made", open: async (file) => files[file] ?? null });
    expect(given.size).toBe(1);
    const wanted = parseSafetensors(bytes);
    for (const [key, parameter] of model.parameters()) {
      const { bytes: expected } = wanted.get(key)!;
      expect((await savedBytes(parameter)).findIndex((byte, i) => byte !== expected[i])).toBe(-1);
    }
    model.dispose();
  });

  test("a device of one's own", async () => {
    const own = await requestDevice();
    const model = await load({}, { device: own });
    expect(model.device).toBe(own);
    expect(model.numParameters()).toBe([...weights.values()].reduce((n, { bytes }) => n + bytes.length / 4, 0));
    model.dispose();
    own.destroy();
  });
});

test("dispose() gives the memory back at once, whoever waits for anything", async () => {
  const own = await requestDevice();
  const before = own.memoryUse.buffers;
  // Few and small tensors: fewer than the commands that the queue gathers.
  const model = await CLIPTextModel.fromPretrained(fixturePath(REPO), { subfolder: "text_encoder", device: own });
  expect(own.memoryUse.buffers).toBeGreaterThan(before + 5);
  model.dispose();
  own.trim();
  expect(own.memoryUse.buffers - before).toBe(0);
  own.destroy();
  await own.lost;
});
