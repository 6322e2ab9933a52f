import { readFixtureJSON } from "../support/files.js";

/** A file of the corpus, with the verdict of the reference reader (safetensors 0.8.0, Rust). */
export interface CorpusCase {
  name: string;
  verdict: "accept" | "reject";
  bytes: Uint8Array;
}

const utf8 = new TextEncoder();

/** A file of a header and `data` bytes of zeros or of the given ones. */
export function safetensors(header: string, data: number | Uint8Array = 0): Uint8Array {
  const text = utf8.encode(header);
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + text.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(body, 8 + text.length);
  return bytes;
}

const ones = (rank: number): string => "1,".repeat(rank - 1) + "4";
const shaped = (shape: string): Uint8Array =>
  safetensors(`{"t":{"dtype":"F32","shape":[${shape}],"data_offsets":[0,16]}}`, 16);
const nested = (depth: number): Uint8Array => safetensors(`{"t":${"[".repeat(depth)}${"]".repeat(depth)}}`);

/** The files that are too long for the JSON. */
const long: Record<string, () => Uint8Array> = {
  empty_file: () => new Uint8Array(0),
  shape_rank_1000: () => shaped(ones(1000)),
  shape_rank_100000: () => shaped(ones(100000)),
  deep_nesting_200: () => nested(200),
  deep_nesting_100000: () => nested(100000),
  all_zero_1k: () => new Uint8Array(1024),
  many_overlapping_1000: () => {
    const entry = '{"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}';
    const entries = Array.from({ length: 1000 }, (_, i) => `"w${i}": ${entry}`);
    return safetensors(`{${entries.join(", ")}}`, 16);
  },
};

/** The 148 files of fixtures/safetensors. */
export async function readCorpus(): Promise<CorpusCase[]> {
  type Stored = { name: string; verdict: "accept" | "reject"; len: number; hex: string | null };
  const stored = await readFixtureJSON<Stored[]>("safetensors/safetensors_cases.json");
  return stored.map(({ name, verdict, len, hex }) => {
    const bytes = hex ? Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16)) : long[name]();
    if (bytes.length !== len) throw new Error(`corpus ${name}: built ${bytes.length} bytes instead of ${len}`);
    return { name, verdict, bytes };
  });
}
