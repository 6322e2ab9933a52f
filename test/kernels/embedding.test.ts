import { describe, expect, test } from "vitest";
import type { Device } from "../../src/tensor/device.js";
import { embedding } from "../../src/tensor/ops/shape.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random, rounded, type FloatType } from "../cases/data.js";
import { embeddingCases, embeddingReference, numbers, type EmbeddingCase } from "../cases/movement.js";
import * as gpu from "../support/gpu.js";

/** One float32 addition and the storage. */
const tolerance = (dtype: FloatType): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype] + gpu.EPSILON,
  absolute: dtype === "float16" ? 2 ** -25 : 0,
});

async function check(item: EmbeddingCase, dtype: FloatType, ids: Int32Array, device: Device): Promise<void> {
  const { batch, tokens, rows, width } = item;
  const table = rounded(numbers([rows, width]), dtype);
  const position = item.position ? rounded(numbers([tokens + 2, width]), dtype) : undefined;
  const made = [
    Tensor.from(ids, [batch, tokens], { device }),
    Tensor.from(table, [rows, width], { device, dtype }),
    ...(position ? [Tensor.from(position, [tokens + 2, width], { device, dtype })] : []),
  ] as const;
  try {
    const y = embedding(made[0], made[1], made[2]);
    expect(y.shape).toEqual([batch, tokens, width]);
    const wanted = gpu.want(embeddingReference(item, ids, table, position), ids.length * width);
    gpu.expectClose(item.name, await gpu.take(y), wanted, tolerance(dtype));
  } finally {
    for (const tensor of made) tensor?.dispose();
  }
}

/** Ids that include the first and the last row. */
function idsFor({ batch, tokens, rows }: EmbeddingCase): Int32Array {
  const random = new Random(rows);
  const ids = Int32Array.from({ length: batch * tokens }, () => random.integer(rows));
  ids[0] = rows - 1;
  ids[ids.length - 1] = 0;
  return ids;
}

describe("embedding", () => {
  gpu.checkLeaks();

  for (const item of embeddingCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => check(item, dtype, idsFor(item), await gpu.testDevice()));

  test("ids outside the table take its first or last row", async () => {
    const item = embeddingCases.find(({ width }) => width === 8)!;
    const ids = idsFor(item);
    ids[1] = -1;
    ids[2] = item.rows;
    ids[3] = 2 ** 31 - 1;
    await check(item, "float32", ids, await gpu.testDevice());
  });

  for (const dtype of gpu.DTYPES)
    test(`a table larger than a binding is read window by window ${dtype}`, async () => {
      // No adapter may offer less than 128 MiB, so the launcher is shown a device that says it has 66 KiB.
      const device = await gpu.testDevice();
      const limited = { ...embeddingCases[4], rows: 999, width: 64 };
      const limits = device.limits;
      Object.defineProperty(device, "limits", {
        value: { maxStorageBufferBindingSize: 66 * 1024 },
        configurable: true,
      });
      try {
        await check(limited, dtype, idsFor(limited), device);
        const odd = { ...limited, rows: 20000, width: 1 };
        const table = Tensor.empty(device, [odd.rows, odd.width], "float32");
        const ids = Tensor.from(new Int32Array(2), [1, 2], { device });
        expect(() => embedding(ids, table)).toThrow(
          "embedding: a table of rows of 1 cannot be bound in windows of 67584 bytes",
        );
        table.dispose();
        ids.dispose();
      } finally {
        Object.defineProperty(device, "limits", { value: limits, configurable: true });
      }
    });

  test("errors say what was expected and what was got", async () => {
    const device = await gpu.testDevice();
    await gpu.withTensors(async (make) => {
      const table = make(new Float32Array(12), [3, 4], "float32");
      const ids = Tensor.from(new Int32Array(2), [1, 2], { device });
      const flat = Tensor.from(new Int32Array(2), [2], { device });
      expect(() => embedding(table, table)).toThrow(
        /embedding: ids must be int32 \[batch, tokens\], got .*float32 \[3, 4\]/,
      );
      expect(() => embedding(flat, table)).toThrow(/got .*int32 \[2\]/);
      const short = make(new Float32Array(4), [1, 4], "float32");
      expect(() => embedding(ids, table, short)).toThrow("embedding: 2 tokens of width 4 do not fit positions [1, 4]");
      const half = make(new Float32Array(8), [2, 4], "float16");
      expect(() => embedding(ids, table, half)).toThrow(/embedding: the dtypes differ/);
      ids.dispose();
      flat.dispose();
    });
  });
});
