import type { Tensor } from "../src/tensor/tensor.js";
import type { FloatType, Reference } from "../test/cases/data.js";
import type { Tolerance } from "./check.js";

/** Makes a tensor, of integers or of the dtype that is being measured; the suite disposes it. */
export type Make = (values: Float32Array | Int32Array, shape: readonly number[]) => Tensor;

/** An op at a size: how to run it, what it costs at least, and what is right. */
export interface BenchCase {
  /** Name in tables, e.g. "conv2d 3x3". */
  op: string;
  /** Sizes in tables. */
  label: string;
  /** 2 per multiply-add; 0 for ops that only move and normalise. */
  flops: number;
  /** The same of the kernels that ran, for ops that some kernels do with other multiply-adds. @param pipelines their labels */
  doneFlops?(pipelines: readonly string[]): number;
  /** Elements read and written, each tensor counted once. */
  elements: number;
  /** Elements of the result. */
  size: number;
  /** Elements to compare; fewer where the reference is slow. */
  most?: number;
  /** Whether `run` leaves the way to the library, which has several. */
  tunable?: boolean;
  tolerance(dtype: FloatType): Tolerance;
  /** Uploads inputs. `run` records the op once; `reference` computes one element in float64 from the same rounded inputs. */
  prepare(make: Make, dtype: FloatType): { run: () => Tensor; reference: Reference };
}

/** "2x64x64x320" */
export const times = (...sizes: readonly number[]): string => sizes.join("x");
