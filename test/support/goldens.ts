import type { RepositoryFile } from "../../src/loader/repository.js";
import { readSafetensorsHeader, type SafetensorsEntry } from "../../src/loader/safetensors.js";
import { readFixture } from "./files.js";

/** F32, F16 and BF16 come as Float32Array, F64 as Float64Array, I32 and I64 as Int32Array (I64 beyond it as Float64Array), U32 as Uint32Array, U8 and BOOL as Uint8Array. */
export type GoldenData = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;

/** A tensor of a golden file; `dtype` is the one of the file. */
export interface Golden {
  dtype: string;
  shape: number[];
  data: GoldenData;
}

/** A file in memory, as the loaders read files. */
export function memoryFile(bytes: Uint8Array, path = "memory"): RepositoryFile {
  return {
    path,
    size: bytes.length,
    read: async (start = 0, end = bytes.length) => new Uint8Array(bytes.slice(start, end)),
  };
}

/** Every tensor of a small safetensors file below test/fixtures. */
export async function readGolden(path: string): Promise<Map<string, Golden>> {
  return parseGoldens(await readFixture(path), path);
}

/** Every tensor of a safetensors file. */
export async function parseGoldens(bytes: Uint8Array<ArrayBuffer>, path: string): Promise<Map<string, Golden>> {
  const { entries } = await readSafetensorsHeader(memoryFile(bytes, path));
  const goldens = new Map<string, Golden>();
  for (const entry of entries.values()) {
    const { name, dtype, shape, start, end } = entry;
    goldens.set(name, { dtype, shape, data: decode(entry, bytes.slice(start, end).buffer) });
  }
  return goldens;
}

/** The float32 data of a tensor that must be there. */
export function floats(goldens: Map<string, Golden>, name: string): Float32Array<ArrayBuffer> {
  const data = goldens.get(name)?.data;
  if (!(data instanceof Float32Array)) throw new Error(`golden ${name}: no float tensor of that name`);
  return data as Float32Array<ArrayBuffer>;
}

/** The value of 16 bits as IEEE half. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function decode({ name, dtype }: SafetensorsEntry, buffer: ArrayBuffer): GoldenData {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F64":
      return new Float64Array(buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), halfToFloat);
    case "BF16":
      return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
    case "I32":
      return new Int32Array(buffer);
    case "I64":
      return integers(new BigInt64Array(buffer));
    case "U32":
      return new Uint32Array(buffer);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer);
    default:
      throw new Error(`golden ${name}: dtype ${dtype} is not read by the tests`);
  }
}

function integers(values: BigInt64Array): Int32Array | Float64Array {
  const small = values.every((value) => value === BigInt.asIntN(32, value));
  return small ? Int32Array.from(values, Number) : Float64Array.from(values, Number);
}
