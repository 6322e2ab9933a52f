/** What the adapter can do at best, measured on the device whose ops are judged by it. */
import { foldedGrid } from "../src/tensor/ops/common.js";
import { Tensor } from "../src/tensor/tensor.js";
import type { FloatType } from "../test/cases/data.js";
import { recordEmpty, type Timer, type Timing } from "./harness.js";
import {
  copyVariants,
  fma,
  FMA_VARIANTS,
  flopsPerRound,
  MATRIX_SUMS,
  matrices,
  streamCopy,
  WORKGROUP_SIZE,
  type CopyVariant,
  type FmaVariant,
  type MatrixVariant,
} from "./roofline_kernels.js";
import { summarize } from "./statistics.js";

export interface Roofline {
  /** Most float32 operations, in 10^9 per second, and the form of the loop that reached it. */
  peakGflops: number;
  peakForm: string;
  /** Most operations of subgroup matrices of halves, in 10^9 per second, where there are any. */
  matrixGflops?: number;
  /** Bytes read and written by a copying shader, in 10^9 per second. */
  bandwidthGBs: number;
  bandwidthForm: string;
  /** Microseconds of one of 100 empty dispatches in a pass, by the timer's clock. */
  dispatchMicroseconds: number;
  /** Microseconds of CPU time to record and submit one of them. */
  recordMicroseconds: number;
  /** Milliseconds until one submitted empty dispatch is known to be done. */
  submitAndWaitMs: number;
  /** Milliseconds to read 16 bytes back. */
  readbackMs: number;
}

const DISPATCHES = 100;

/**
 * The time that the limits allow an op, in milliseconds; only what stays in caches takes less.
 * @param flops that its kernels do
 * @param bytes with each tensor touched once
 * @param dtype of the operands: halves may go through matrix units; elsewhere kernels load them into float32, whose peak binds them
 */
export function idealMs(
  { peakGflops, matrixGflops = 0, bandwidthGBs }: Roofline,
  { flops, bytes, dtype }: { flops: number; bytes: number; dtype: FloatType },
): number {
  const peak = dtype === "float16" ? Math.max(peakGflops, matrixGflops) : peakGflops;
  return Math.max(flops / peak, bytes / bandwidthGBs) / 1e6;
}

export async function measureRoofline(timer: Timer): Promise<Roofline> {
  const { productUnits, streamLanes } = timer.probe.device;
  const peak = await best(timer, FMA_VARIANTS, fmaRate);
  const bandwidth = await best(timer, copyVariants(streamLanes), copyRate);
  const { matrix, lanes } = productUnits;
  return {
    ...(matrix ? { matrixGflops: await matrixRate(timer, { matrix, lanes }) } : {}),
    peakGflops: peak.rate,
    peakForm: peak.form,
    bandwidthGBs: bandwidth.rate,
    bandwidthForm: bandwidth.form,
    ...(await dispatchCost(timer)),
    submitAndWaitMs: timer.wait.median,
    readbackMs: await readbackLatency(timer),
  };
}

/** The highest of the rates of all variants, in 10^9 per second. */
async function best<V>(
  timer: Timer,
  variants: readonly V[],
  measure: (timer: Timer, variant: V) => Promise<number>,
): Promise<{ rate: number; form: string }> {
  let top = { rate: 0, form: "none" };
  for (const variant of variants) {
    const rate = await measure(timer, variant);
    if (rate > top.rate) top = { rate, form: Object.values(variant as object).join(" ") };
  }
  return top;
}

/** A limit is the best that was ever seen; on a busy machine the median says something else. */
const fastest = ({ samples }: Timing): number => Math.min(...samples);

async function fmaRate(timer: Timer, variant: FmaVariant): Promise<number> {
  const { device } = timer.probe;
  const groups = device.isSoftware ? 64 : 4096;
  const rounds = device.isSoftware ? 128 : 256;
  const y = Tensor.empty(device, [groups * WORKGROUP_SIZE], "float32");
  const flops = flopsPerRound(variant) * rounds * groups * WORKGROUP_SIZE;
  const record = (): void =>
    device.run({ kernel: fma, variant, values: { rounds }, buffers: [y], grid: [groups], flops });
  try {
    record();
    return flops / 1e6 / fastest(await timer.time(record));
  } finally {
    y.dispose();
  }
}

async function matrixRate(timer: Timer, variant: MatrixVariant): Promise<number> {
  const { device } = timer.probe;
  const { m, n, k } = variant.matrix;
  const groups = device.isSoftware ? 16 : 8192;
  const rounds = device.isSoftware ? 64 : 256;
  const y = Tensor.empty(device, [groups * variant.lanes], "float32");
  const flops = 2 * m * n * k * MATRIX_SUMS * rounds * groups;
  const record = (): void =>
    device.run({ kernel: matrices, variant, values: { rounds }, buffers: [y], grid: [groups], flops });
  try {
    record();
    return flops / 1e6 / fastest(await timer.time(record));
  } finally {
    y.dispose();
  }
}

async function copyRate(timer: Timer, variant: CopyVariant): Promise<number> {
  const { device } = timer.probe;
  // Several times the caches, and within the smallest limit of a binding.
  const bytes = Math.min((device.isSoftware ? 64 : 256) * 2 ** 20, device.limits.maxStorageBufferBindingSize);
  const [x, y] = [0, 1].map(() => Tensor.empty(device, [bytes / 4], "float32"));
  const items = bytes / (variant.type === "f32" ? 4 : 16);
  const grid = foldedGrid(Math.ceil(items / variant.perThread / WORKGROUP_SIZE));
  const record = (): void => device.run({ kernel: streamCopy, variant, values: { items }, buffers: [x, y], grid });
  try {
    record();
    return (2 * bytes) / 1e6 / fastest(await timer.time(record));
  } finally {
    for (const tensor of [x, y]) tensor.dispose();
    device.trim();
  }
}

async function dispatchCost(timer: Timer): Promise<Pick<Roofline, "dispatchMicroseconds" | "recordMicroseconds">> {
  const { device } = timer.probe;
  const y = device.dummy("float32");
  const record = (): void => {
    for (let i = 0; i < DISPATCHES; i++) recordEmpty(y);
  };
  const { median } = await timer.time(record);
  const recorded: number[] = [];
  for (let i = 0; i < 10; i++) recorded.push(await cpuTime(timer, record));
  const perDispatch = 1000 / DISPATCHES;
  return {
    dispatchMicroseconds: median * perDispatch,
    recordMicroseconds: summarize(recorded).median * perDispatch,
  };
}

/** Milliseconds that the calling thread is busy to record and submit; the GPU is idle before. */
export async function cpuTime({ probe: { device } }: Timer, record: () => void): Promise<number> {
  await device.synchronize();
  const start = performance.now();
  record();
  const flushed = device.flush(); // encodes and submits everything before it first waits
  const took = performance.now() - start;
  await flushed;
  await device.synchronize();
  return took;
}

async function readbackLatency({ probe }: Timer): Promise<number> {
  const x = probe.device.dummy("float32");
  const times: number[] = [];
  for (let i = 0; i < 10; i++) {
    await probe.device.synchronize();
    const start = performance.now();
    await x.data();
    times.push(performance.now() - start);
  }
  return summarize(times).median;
}
