import { describe, expect, test } from "vitest";
import type { WinogradCosts } from "../../src/tensor/adapter_kind.js";
import { conv2d } from "../../src/tensor/ops/conv2d.js";
import { PLAIN, type Tile } from "../../src/tensor/ops/tiling.js";
import { SMALL_WORKGROUP_TILE } from "../../src/tensor/ops/tiling_hardware.js";
import { Plan } from "../../src/tensor/plan.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { conv2dData, conv2dReference, K3, make as makeCase, type Conv2dCase } from "../cases/conv2d.js";
import type { FloatType } from "../cases/data.js";
import { winogradCases, winogradReference } from "../cases/winograd.js";
import { run, termsOf, tolerance } from "../support/conv2d.js";
import * as gpu from "../support/gpu.js";

const find = (name: string): Conv2dCase => winogradCases.find((item) => item.name.startsWith(name))!;
const costs = (channels: number): WinogradCosts => ({
  channels: { floats: channels, halves: channels },
  tiles: 24,
  bytes: 2 ** 24,
});
const sizeOf = ({ batch, outHeight, outWidth, cout }: Conv2dCase): number => batch * outHeight * outWidth * cout;

/** float32 against the plain convolution, at its tolerance; float16 with image and weights as float16 holds them in the basis. */
async function check(item: Conv2dCase, dtype: FloatType, tiles: readonly (Tile | undefined)[]): Promise<void> {
  const data = gpu.roundAll(conv2dData(item), dtype);
  const reference = dtype === "float32" ? conv2dReference(item, data) : winogradReference(item, data, dtype);
  const wanted = gpu.want(reference, sizeOf(item), 2048);
  const allowed = tolerance(dtype, termsOf(item));
  // The sums of the shortcut are stored for themselves: what lies between two halves in float64 can be the other one in float32.
  if (item.shortcut) allowed.ofScale! += gpu.STORAGE[dtype];
  for (const tile of tiles) {
    const got = await run(item, data, dtype, { tile, winograd: true });
    gpu.expectClose(`${JSON.stringify(tile ?? "default tile")}`, got, wanted, allowed);
  }
}

describe("conv2d by Winograd's filtering", () => {
  gpu.checkLeaks();

  for (const item of winogradCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => {
        // Each pipeline takes a CPU adapter up to a second: one case of each type visits every kind of tile.
        const visits = item.name.startsWith(dtype === "float32" ? "all terms" : "upsampled, rows for several tiles");
        await check(item, dtype, [undefined, ...(visits ? await gpu.kindsOfTile(dtype, item.cout) : [])]);
      });

  test("the references agree, and float16 loses no more than the rounding of image and weights", () => {
    for (const item of winogradCases)
      for (const dtype of ["float32", "float16"] as const) {
        const data = gpu.roundAll(conv2dData(item), dtype);
        const wanted = gpu.want(conv2dReference(item, data), sizeOf(item), 512);
        const { positions } = wanted;
        const got = new Float64Array(wanted.size);
        const reference = winogradReference(item, data, dtype);
        for (const position of positions) got[position] = reference(position);
        // Two factors of each product are rounded, and of the products up to nine are added for a pixel: six roundings at random.
        gpu.expectClose(`${item.name} ${dtype}`, got, wanted, { relative: 0, ofScale: 6 * gpu.STORAGE[dtype] });
      }
  });

  test("in several runs, of a place per dispatch, and as on GPUs", async () => {
    for (const name of ["all terms", "upsampled, all terms"]) {
      await gpu.pretending({ flopsBudget: 20_000 }, () => check(find(name), "float32", [undefined]));
      await gpu.asHardware(() => check(find(name), "float16", [undefined, SMALL_WORKGROUP_TILE]));
    }
  });

  test("weights of many channels are brought into the basis in parts, of whole lines", async () => {
    for (const [cin, cout, upsample, parts] of [
      [640, 640, false, 1],
      [640, 960, false, 2],
      [1280, 1280, false, 4],
      [640, 1600, true, 2],
    ] as const) {
      const item = makeCase("many channels", [1, 2, 2, cin], cout, K3, { upsample });
      const data = conv2dData(item);
      const wanted = gpu.want(conv2dReference(item, data), sizeOf(item), 256);
      let names: string[] = [];
      const got = await gpu.withTensors(async (make) => {
        const x = make(data.x, [1, 2, 2, item.cin], "float32");
        const w = make(data.w, [3, 3, item.cin, item.cout], "float32");
        const bias = make(data.bias, [item.cout], "float32");
        let y: Tensor | undefined;
        names = await gpu.kernelsRun(() => void (y = conv2d(x, w, bias, { padding: 1, upsample, winograd: true })));
        return gpu.take(y!);
      });
      gpu.expectClose(item.name, got, wanted, tolerance("float32", termsOf(item)));
      expect(names.filter((name) => name === "winograd weights").length).toBe(parts);
    }
  });

  test("a plan replays it; small weights in the basis are kept, large ones are not", async () => {
    const device = await gpu.testDevice();
    for (const [item, kept] of [
      [find("rows for several tiles"), true],
      [makeCase("weights of 1.2 MB", [1, 4, 5, 128], 144, K3), false],
    ] as const) {
      const { batch, height, width, cin, cout } = item;
      const data = conv2dData(item);
      const wanted = gpu.want(
        conv2dReference({ ...item, residual: false }, { ...data, residual: undefined }),
        sizeOf(item),
      );
      await gpu.withTensors(async (make) => {
        const x = make(data.x, [batch, height, width, cin], "float32");
        const w = make(data.w, [3, 3, cin, cout], "float32");
        const bias = make(data.bias, [cout], "float32");
        const tile = { tileM: 4, tileN4: 2 };
        const work = (input: Tensor): Tensor => conv2d(input, w, bias, { padding: 1, winograd: true, tile });
        const settled = async (): Promise<number> => {
          device.trim();
          await device.flush();
          return device.memoryUse.bytes;
        };
        const before = await settled();
        const plan = new Plan(device, [x], work);
        const runs = [await plan.run([x]).data(), await plan.run([x]).data(), await gpu.take(work(x))];
        for (const got of runs) gpu.expectClose(item.name, got, wanted, tolerance("float32", termsOf(item)));
        plan.dispose();
        expect((await settled()) - before >= (w.bytes / 9) * 16).toBe(kept);
      });
    }
  });

  test("it is taken for large 3x3 convolutions of stride 1", async () => {
    const kernels = (
      [height, width, cin, cout]: readonly [number, number, number, number],
      options: Parameters<typeof conv2d>[3] = {},
      kernel = 3,
      dtype: FloatType = "float32",
    ): Promise<string[]> =>
      gpu.withTensors((make) => {
        const x = make(new Float32Array(height * width * cin), [1, height, width, cin], dtype);
        const w = make(new Float32Array(kernel * kernel * cin * cout), [kernel, kernel, cin, cout], dtype);
        const bias = make(new Float32Array(cout), [cout], dtype);
        return gpu.kernelsRun(() => conv2d(x, w, bias, { padding: kernel >> 1, ...options }).dispose());
      });
    const chosen = async (...args: Parameters<typeof kernels>): Promise<boolean> =>
      (await kernels(...args)).includes("winograd products");
    const large = [32, 32, 160, 160] as const;
    expect(await chosen(large)).toBe((await gpu.testDevice()).isSoftware);
    const hardware = { channels: { floats: 90, halves: Infinity }, tiles: 80, bytes: 2 ** 26 };
    await gpu.pretending({ winograd: hardware }, async () => {
      expect(await chosen(large)).toBe(false);
      expect(await chosen([32, 32, 320, 160])).toBe(true);
      expect(await chosen([32, 32, 320, 160], {}, 3, "float16")).toBe(false);
      expect(await chosen([16, 16, 640, 640])).toBe(false);
      expect(await chosen([16, 32, 640, 640])).toBe(true);
    });
    await gpu.pretending({ winograd: costs(Infinity) }, async () => expect(await chosen(large)).toBe(false));
    await gpu.pretending({ winograd: costs(35) }, async () => {
      expect(await chosen(large)).toBe(true);
      expect(await chosen([16, 16, 160, 160], { upsample: true })).toBe(true);
      expect(await chosen(large, { stride: 2 })).toBe(false);
      expect(await chosen(large, {}, 5)).toBe(false);
      expect(await chosen(large, { tile: PLAIN })).toBe(false);
      expect(await chosen([8, 8, 160, 160])).toBe(false);
      expect(await chosen([256, 256, 32, 32])).toBe(false);
      await gpu.pretending({ plainKernels: true }, async () => expect(await chosen([4, 4, 16, 16])).toBe(false));
    });
    await expect(kernels(large, { stride: 2, winograd: true })).rejects.toThrow(/Winograd.*stride 1/);
  });
});
