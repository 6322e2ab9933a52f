import { describe, expect, test } from "vitest";
import { layerNorm, type LayerNormOptions, type TeamPlan } from "../../src/tensor/ops/norm.js";
import type { FloatType } from "../cases/data.js";
import type { NormData } from "../cases/group_norm.js";
import { layerNormCases, layerNormData, layerNormReference, type LayerNormCase } from "../cases/layer_norm.js";
import * as gpu from "../support/gpu.js";

/** As for groupNorm: a few ulp of the statistics; a mean far from zero costs ulps of the mean. */
const tolerance = (dtype: FloatType, mean = 0): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype],
  ofScale: 8 * gpu.EPSILON,
  absolute: 4 * gpu.EPSILON * (1 + mean) + (dtype === "float16" ? 2 ** -25 : 0),
});

async function run(
  { shape, width, eps }: LayerNormCase,
  data: NormData,
  dtype: FloatType,
  how: Pick<LayerNormOptions, "by" | "held" | "team"> = {},
): Promise<Float32Array> {
  return gpu.withTensors(async (make) =>
    gpu.take(
      layerNorm(make(data.x, shape, dtype), make(data.weight, [width], dtype), make(data.bias, [width], dtype), {
        eps,
        ...how,
      }),
    ),
  );
}

/** Sizes of the kernel of GPUs: rows kept by one thread or many, sums by shuffles, by workgroup memory and by both. */
async function teamsOf({ width }: LayerNormCase): Promise<TeamPlan[]> {
  const { adapterInfo, features } = await gpu.testDevice();
  const { subgroupMinSize: lanes = 1, subgroupMaxSize } = adapterInfo;
  const plans: TeamPlan[] = [
    { team: 64, threads: 64, shuffled: 1 },
    { team: 16, threads: 64, shuffled: 1 },
  ];
  if (features.has("subgroups") && lanes === subgroupMaxSize)
    plans.push(
      { team: 4 * lanes, threads: 8 * lanes, shuffled: lanes },
      { team: Math.max(2, lanes / 2), threads: 64, shuffled: lanes },
    );
  return plans.filter(({ team }) => width % 4 === 0 && width <= 20 * team);
}

describe("layerNorm", () => {
  gpu.checkLeaks();

  for (const item of layerNormCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => {
        const data = gpu.roundAll(layerNormData(item), dtype);
        const wanted = gpu.want(layerNormReference(item, data), data.x.length, 4096);
        const check = async (name: string, how?: Pick<LayerNormOptions, "by" | "held" | "team">): Promise<void> =>
          gpu.expectClose(name, await run(item, data, dtype, how), wanted, tolerance(dtype, item.mean));
        await check("default");
        await gpu.asHardware(() => check("chosen for GPUs"));
        for (const by of item.width % 4 === 0 ? (["plain", "rows"] as const) : []) await check(by, { by });
        if (item.width % 4 === 0) await check("rows, many columns held", { by: "rows", held: 5 });
        for (const team of await teamsOf(item)) await check(JSON.stringify(team), { team });
      });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(12), [2, 6], "float32");
      const six = make(new Float32Array(6), [6], "float32");
      const half = make(new Float32Array(6), [6], "float16");
      expect(() => layerNorm(x, x, six, { eps: 0 })).toThrow("layerNorm: weight must be [6], got [2, 6]");
      expect(() => layerNorm(x, six, x, { eps: 0 })).toThrow("layerNorm: bias must be [6], got [2, 6]");
      expect(() => layerNorm(x, half, six, { eps: 0 })).toThrow(/layerNorm: the dtypes differ/);
    });
  });
});
