/** One row of the suite: the result is checked first; what is wrong is not timed. */
import { BYTES } from "../src/tensor/dtype.js";
import { Tensor } from "../src/tensor/tensor.js";
import { tune } from "../src/tensor/tuning/tune.js";
import type { FloatType } from "../test/cases/data.js";
import type { BenchCase } from "./bench_case.js";
import { check } from "./check.js";
import { cut, type Limits } from "./cut.js";
import type { Timer } from "./harness.js";
import { benchOf } from "./ops.js";
import type { OpResult } from "./results.js";
import { idealMs, type Roofline } from "./roofline.js";
import type { Row } from "./shapes.js";

/** The result of a row that has not run yet: what it is and what it costs. */
export function describe({ shape, counts }: Row, dtype: FloatType, limits?: Limits): [OpResult, BenchCase | null] {
  const whole = benchOf(shape);
  const bench = limits ? benchOf(cut(shape, limits)) : whole;
  const { op, label, flops, elements } = bench ?? { op: shape.op, label: labelOf(shape), flops: 0, elements: 0 };
  const result: OpResult = {
    kind: "op",
    op,
    label,
    dtype,
    status: "fused",
    counts,
    flops,
    bytes: elements * BYTES[dtype],
  };
  if (whole && whole.label !== label) result.cutFrom = whole.label;
  return [result, bench];
}

/** Whether a filter names the row: by its sizes as they run, or as they were traced. */
export const isNamed = ({ op, label, cutFrom = label, dtype }: OpResult, filter: string): boolean =>
  [label, cutFrom].some((sizes) => `${op} ${sizes} ${dtype}`.includes(filter));

const labelOf = (shape: object): string =>
  Object.entries(shape)
    .filter(([key]) => key !== "op")
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(", ");

/**
 * Checks and times a case on the timer's device; errors become part of the result.
 * @param options tuned: in the way that is measured to be the fastest first
 */
export async function measure(
  timer: Timer,
  roofline: Roofline,
  described: OpResult,
  bench: BenchCase,
  { tuned = false } = {},
): Promise<OpResult> {
  const { probe } = timer;
  const { device } = probe;
  const { dtype, flops, bytes } = described;
  const made: Tensor[] = [];
  try {
    const { run, reference } = bench.prepare((values, shape) => {
      const type = values instanceof Int32Array ? "int32" : dtype;
      const tensor = Tensor.from(values, shape, { dtype: type, device });
      made.push(tensor);
      return tensor;
    }, dtype);
    await device.synchronize();
    if (tuned && bench.tunable) await tune(() => device.scope(() => void run()), { device, store: false });
    const start = performance.now();
    const y = run();
    made.push(y);
    await device.synchronize();
    const firstMs = performance.now() - start;
    const got = await y.data();
    const { passed, error, message } = check(got, reference, bench, dtype, bench.tolerance(dtype));
    y.dispose();
    const result: OpResult = { ...described, status: passed ? "ok" : "wrong", firstMs, error, message };
    if (!passed) return result;

    const record = (): void => device.scope(() => void run());
    const { dispatches, pipelines } = await probe.watch(record);
    const { median: ms, p10, p90, samples, runs } = await timer.time(record);
    const done = bench.doneFlops?.(pipelines) ?? flops;
    return {
      ...result,
      ...(done === flops ? {} : { doneFlops: done }),
      ms,
      p10,
      p90,
      batches: samples.length,
      runs,
      dispatches,
      pipelines,
      gflops: flops / ms / 1e6,
      gbs: bytes / ms / 1e6,
      percent: (100 * idealMs(roofline, { flops: done, bytes, dtype })) / ms,
    };
  } catch (error) {
    if (device.queue.isLost) throw error;
    return { ...described, status: "failed", message: error instanceof Error ? error.message : String(error) };
  } finally {
    for (const tensor of made) tensor.dispose();
    device.trim();
    await device.flush().catch(() => undefined);
  }
}
