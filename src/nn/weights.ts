/** Weights from safetensors files to the GPU: keys and shapes are checked first, then bytes stream in file order. */
import { mapKey } from "../loader/legacy_keys.js";
import type { RepositoryFile } from "../loader/repository.js";
import { readSafetensorsHeader, type SafetensorsEntry } from "../loader/safetensors.js";
import type { Device } from "../tensor/device.js";
import { formatOf, product, type DType } from "../tensor/dtype.js";
import { gatherInto, type SourceFormat } from "../tensor/ops/copy.js";
import { Tensor } from "../tensor/tensor.js";
import type { Module, Parameter } from "./module.js";

/** Bytes read at a time: small tensors share a read, large ones take several. Bounds JavaScript memory while loading. */
const WINDOW = 8 << 20;

/** One tensor of a file and the parameter that it fills. */
interface Assignment {
  entry: SafetensorsEntry;
  parameter: Parameter;
}

export interface WeightProgress {
  loaded: number;
  total: number;
}

export interface LoadWeightsOptions {
  device: Device;
  dtype: DType;
  onProgress?: (progress: WeightProgress) => void;
  signal?: AbortSignal;
}

/**
 * Fills every parameter of `model` from `files`. Nothing is allocated until all keys and shapes are known to fit.
 * @throws Error naming missing, unexpected and misshapen tensors
 */
export async function loadWeights(
  name: string,
  model: Module,
  files: readonly RepositoryFile[],
  options: LoadWeightsOptions,
): Promise<void> {
  const plan = await planWeights(name, model, files);
  const total = plan.reduce(
    (sum, { entries }) => sum + entries.reduce((bytes, { entry }) => bytes + entry.end - entry.start, 0),
    0,
  );
  let loaded = 0;
  const { queue } = options.device;
  const { now } = queue.faults;
  try {
    for (const { file, entries } of plan)
      for await (const bytes of streamWeights(file, entries, options))
        options.onProgress?.({ loaded: (loaded += bytes), total });
    await options.device.synchronize();
    queue.check(now); // what went wrong with other work meanwhile may have taken a piece of a weight
  } catch (error) {
    for (const [, parameter] of model.parameters()) parameter.dispose();
    throw error;
  }
}

async function planWeights(
  name: string,
  model: Module,
  files: readonly RepositoryFile[],
): Promise<{ file: RepositoryFile; entries: Assignment[] }[]> {
  const parameters = new Map(model.parameters());
  const missing = new Set(parameters.keys());
  const unexpected: string[] = [];
  const faults: string[] = [];
  const plan: { file: RepositoryFile; entries: Assignment[] }[] = [];
  for (const file of files) {
    const { entries: header } = await readSafetensorsHeader(file);
    const entries: Assignment[] = [];
    for (const entry of header.values()) {
      const key = mapKey(entry.name);
      if (key === null) continue;
      const parameter = parameters.get(key);
      if (!parameter) unexpected.push(entry.name);
      else if (!missing.delete(key)) faults.push(`${entry.name}: the tensor occurs twice`);
      else {
        const fault = misfit(entry, parameter);
        if (fault) faults.push(fault);
        entries.push({ entry, parameter });
      }
    }
    plan.push({ file, entries: entries.sort((a, b) => a.entry.start - b.entry.start) });
  }
  if (missing.size > 0) faults.push(`missing ${listed([...missing])}`);
  if (unexpected.length > 0) faults.push(`unexpected ${listed(unexpected)}`);
  if (faults.length > 0)
    throw new Error(
      `${name}: the weights in ${files.map((file) => file.path).join(", ")} do not fit the config: ${listed(faults, "; ")}`,
    );
  return plan;
}

function misfit(entry: SafetensorsEntry, { shape }: Parameter): string | null {
  if (!(entry.dtype in SOURCE_FORMAT))
    return `${entry.name}: dtype ${entry.dtype} is not supported (F32, F16, BF16 are${entry.dtype === "F64" ? "; save the model in float32" : ""})`;
  // Old attention blocks hold their linear layers as 1x1 convolutions, [out, in, 1, 1].
  const same =
    entry.shape.join() === shape.join() || (shape.length === 2 && entry.shape.join() === [...shape, 1, 1].join());
  return same
    ? null
    : `${entry.name}: the file has [${entry.shape.join(", ")}], the config wants [${shape.join(", ")}]`;
}

const listed = (names: string[], separator = ", "): string =>
  `${names.slice(0, 8).join(separator)}${names.length > 8 ? ` and ${names.length - 8} more` : ""}`;

const SOURCE_FORMAT: Record<string, SourceFormat> = { F32: "f32", F16: "pack16", BF16: "bf16" };
const ITEM_BYTES: Record<string, number> = { F32: 4, F16: 2, BF16: 2 };

/** Uploads tensors in file order; yields the bytes done after each. */
async function* streamWeights(
  file: RepositoryFile,
  entries: readonly Assignment[],
  options: LoadWeightsOptions,
): AsyncGenerator<number> {
  const { device, signal } = options;
  let window: Uint8Array = new Uint8Array(0);
  let windowStart = 0;
  const end = entries.at(-1)?.entry.end ?? 0;
  /** Bytes [from, to) of the file, at most WINDOW of them, read ahead to fill the window. */
  const read = async (from: number, to: number): Promise<Uint8Array> => {
    if (from < windowStart || to > windowStart + window.length) {
      signal?.throwIfAborted();
      // The window before this one must have left for the GPU, or windows would pile up in memory; and its staging
      // blocks must go, or the GPU would hold a block of every size that a tensor has.
      device.trim();
      await device.flush();
      windowStart = from;
      window = await file.read(from, Math.max(to, Math.min(end, from + WINDOW)));
    }
    return window.subarray(from - windowStart, to - windowStart);
  };
  for (const { entry, parameter } of entries) {
    await upload(entry, parameter, read, options);
    yield entry.end - entry.start;
  }
}

/**
 * One tensor: its raw bytes go to a staging block, and a kernel permutes and converts them. Large plain tensors (CLIP's
 * token table exceeds the default binding limit in float32) are converted piece by piece.
 */
async function upload(
  entry: SafetensorsEntry,
  parameter: Parameter,
  read: (from: number, to: number) => Promise<Uint8Array>,
  { device, dtype }: LoadWeightsOptions,
): Promise<void> {
  const { holder } = parameter;
  // A holder of several gets its memory with the first of them.
  if (holder === parameter || !holder.loaded)
    holder.assign(
      device.keep(
        Tensor.empty(device, holder.packedShape, parameter.dtype ?? dtype, { persistent: true, label: entry.name }),
      ),
    );
  const { packed } = parameter;
  const itemBytes = ITEM_BYTES[entry.dtype];
  const size = product(entry.shape);
  // Pieces of whole binding alignments on both sides, whatever the dtypes.
  const piecewise = parameter.packing === "none" && packed instanceof Tensor;
  const piece = piecewise ? Math.min(size, WINDOW / 4) : size;
  for (let start = 0; start < size; start += piece) {
    const count = Math.min(piece, size - start);
    const staging = device.take(Math.ceil((count * itemBytes) / 16) * 16, "weights");
    const from = entry.start + start * itemBytes;
    try {
      for (let offset = 0; offset < count * itemBytes; offset += WINDOW) {
        const bytes = await read(from + offset, from + Math.min(offset + WINDOW, count * itemBytes));
        device.queue.push({ kind: "write", block: staging, offset, data: wholeWords(bytes) });
      }
      const format = entry.dtype === "F16" ? formatOf("float16", device, entry.name) : SOURCE_FORMAT[entry.dtype];
      if (piecewise)
        gatherInto(device, { block: staging }, format, packed, { shape: [count], strides: [1] }, { start, count });
      else gatherInto(device, { block: staging }, format, packed, packedView(parameter));
    } finally {
      device.release(staging);
    }
  }
}

/** GPU writes are of whole 32-bit words. */
export function wholeWords(bytes: Uint8Array): Uint8Array {
  if (bytes.length % 4 === 0) return bytes;
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return padded;
}

/** The file's tensor as the kernels want it: see Packing. */
function packedView({ shape, packing, packedShape }: Parameter): { shape: number[]; strides: number[] } {
  if (packing === "gated") {
    const [outputs, inputs = 1] = shape;
    const inner = outputs / 2;
    return { shape: [inputs, inner / 4, 2, 4], strides: [1, 4 * inputs, inner * inputs, inputs] };
  }
  if (packing === "none") return { shape: [...shape], strides: [1] }; // a bias
  if (packing === "linear") return { shape: packedShape, strides: [1, shape[1]] };
  const [, inputs, kernelHeight, kernelWidth] = shape;
  const area = kernelHeight * kernelWidth;
  return { shape: packedShape, strides: [kernelWidth, 1, area, inputs * area] };
}
