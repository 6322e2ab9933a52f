import { rounded, type FloatType } from "../test/cases/data.js";

/** Inputs as tensors of `dtype` hold them. */
export const roundAll = <T extends Record<string, Float32Array | undefined>>(data: T, dtype: FloatType): T =>
  Object.fromEntries(Object.entries(data).map(([key, values]) => [key, values && rounded(values, dtype)])) as T;
