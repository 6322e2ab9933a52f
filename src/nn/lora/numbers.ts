import { ConfigError } from "../../loader/errors.js";
import type { SafetensorsEntry } from "../../loader/safetensors.js";
import { float16ToFloat32 } from "../../tensor/dtype.js";

/**
 * The numbers of a tensor as floats.
 * @param bytes the tensor's
 * @throws ConfigError for a dtype that weights do not have
 */
export function floats(bytes: Uint8Array, { name, dtype }: SafetensorsEntry, file: string): Float32Array {
  const { buffer } = bytes.slice(); // where numbers may begin
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F64") return Float32Array.from(new Float64Array(buffer));
  if (dtype === "F16") return float16ToFloat32(new Uint16Array(buffer));
  if (dtype === "BF16") return widened(new Uint16Array(buffer));
  throw new ConfigError(`${file}: ${name} has dtype ${dtype}; F32, F16, BF16 are read`);
}

function widened(halves: Uint16Array): Float32Array {
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i] << 16;
  return new Float32Array(words.buffer);
}
