/** Weights from safetensors files to the GPU: keys and shapes are checked first, then bytes stream in file order. */
import { mapKey } from "../../loader/legacy_keys.js";
import type { RepositoryFile } from "../../loader/repository.js";
import { readSafetensorsHeader, type SafetensorsEntry } from "../../loader/safetensors.js";
import type { Device } from "../../tensor/device.js";
import { formatOf, product, type DType } from "../../tensor/dtype.js";
import type { Block } from "../../tensor/memory.js";
import { gatherInto, type SourceFormat } from "../../tensor/ops/copy.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Deltas } from "../lora/deltas.js";
import type { Module, Parameter } from "../module.js";
import { allocate } from "./allocate.js";

/** Bytes read at a time: small tensors share a read, large ones take several. Bounds JavaScript memory while loading. */
const WINDOW = 8 << 20;

/** One tensor of a file and the parameter that it fills. */
interface Assignment {
  key: string;
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
  onProgress?: (progress: WeightProgress) => unknown;
  signal?: AbortSignal;
  /** Of a model that is loaded: the parameters that are read again. They lose what they have. */
  only?: ReadonlySet<Parameter>;
  /** Added to what is read. */
  deltas?: Deltas;
}

/**
 * Fills every parameter of `model` from `files`. Nothing is allocated until all keys and shapes are known to fit.
 * @returns the names of tensors that no module has and none needs, see isIgnoredKey()
 * @throws Error naming missing, unexpected and misshapen tensors
 */
export async function loadWeights(
  name: string,
  model: Module,
  files: readonly RepositoryFile[],
  options: LoadWeightsOptions,
): Promise<string[]> {
  const { only } = options;
  const { plan, ignored } = await planWeights(name, model, files, only);
  const total = plan.reduce(
    (sum, { entries }) => sum + entries.reduce((bytes, { entry }) => bytes + entry.end - entry.start, 0),
    0,
  );
  let loaded = 0;
  const { queue } = options.device;
  const { now } = queue.faults;
  try {
    for (const parameter of only ?? []) parameter.dispose();
    for (const { file, entries } of plan)
      for await (const bytes of streamWeights(file, entries, options))
        options.onProgress?.({ loaded: (loaded += bytes), total });
    await options.device.synchronize();
    options.signal?.throwIfAborted(); // what the last report was answered with, too
    queue.check(now); // what went wrong with other work meanwhile may have taken a piece of a weight
    return ignored;
  } catch (error) {
    for (const parameter of only ?? [...model.parameters()].map(([, each]) => each)) parameter.dispose();
    await options.device.settle();
    throw error;
  }
}

async function planWeights(
  name: string,
  model: Module,
  files: readonly RepositoryFile[],
  only?: ReadonlySet<Parameter>,
): Promise<{ plan: { file: RepositoryFile; entries: Assignment[] }[]; ignored: string[] }> {
  const parameters = new Map(model.parameters());
  const missing = new Set(parameters.keys());
  const unexpected: string[] = [];
  const ignored: string[] = [];
  const faults: string[] = [];
  const plan: { file: RepositoryFile; entries: Assignment[] }[] = [];
  for (const file of files) {
    const { entries: header } = await readSafetensorsHeader(file);
    const entries: Assignment[] = [];
    for (const entry of header.values()) {
      const key = mapKey(entry.name, parameters);
      const parameter = key === null ? undefined : parameters.get(key);
      if (key === null) ignored.push(entry.name);
      else if (!parameter) unexpected.push(entry.name);
      else if (!missing.delete(key)) faults.push(`${entry.name}: the tensor occurs twice`);
      else {
        // What is not read again may be of another shape by now.
        if (!(only?.has(parameter) ?? true)) continue;
        const fault = misfit(entry, parameter);
        if (fault) faults.push(fault);
        entries.push({ key, entry, parameter });
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
  return { plan, ignored };
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
  if (entries.length === 0) return;
  const end = entries.at(-1)!.entry.end;
  // One of each for all tensors: fresh memory costs the system as much as what is done with it.
  const kept = new Uint8Array(Math.min(WINDOW, end - entries[0].entry.start));
  const staging = device.take(
    Math.max(...entries.map(({ entry, parameter }) => stagingBytes(entry, parameter))),
    "weights",
  );
  let window: Uint8Array = new Uint8Array(0);
  let windowStart = 0;
  /** Bytes [from, to) of the file, at most WINDOW of them, read ahead to fill the window. */
  const read = async (from: number, to: number): Promise<Uint8Array> => {
    if (from < windowStart || to > windowStart + window.length) {
      signal?.throwIfAborted();
      // The window before this one must have left for the GPU.
      await device.flush();
      windowStart = from;
      window = await file.read(from, Math.max(to, Math.min(end, from + WINDOW)), kept);
    }
    return window.subarray(from - windowStart, to - windowStart);
  };
  try {
    for (const assignment of entries) {
      const { entry } = assignment;
      await upload(assignment, read, staging, options);
      yield entry.end - entry.start;
    }
  } finally {
    device.release(staging);
    device.trim();
  }
}

/** Elements of a tensor that are converted at once: those of large plain ones in pieces of whole binding alignments, whatever the dtypes. */
const pieceOf = ({ shape }: SafetensorsEntry, parameter: Parameter): number =>
  isPlain(parameter) ? Math.min(product(shape), WINDOW / 4) : product(shape);

const isPlain = (parameter: Parameter): boolean => parameter.packing === "none" && parameter.holder === parameter;

const stagingBytes = (entry: SafetensorsEntry, parameter: Parameter): number =>
  Math.ceil((pieceOf(entry, parameter) * ITEM_BYTES[entry.dtype]) / 16) * 16;

/**
 * One tensor: its raw bytes go to a staging block, and a kernel permutes and converts them. Large plain tensors (CLIP's
 * token table exceeds the default binding limit in float32) are converted piece by piece.
 */
async function upload(
  { key, entry, parameter }: Assignment,
  read: (from: number, to: number) => Promise<Uint8Array>,
  staging: Block,
  { device, dtype, deltas }: LoadWeightsOptions,
): Promise<void> {
  const { holder } = parameter;
  // A holder of several gets its memory with the first of them.
  if (holder === parameter || !holder.loaded) allocate(holder, device, parameter.dtype ?? dtype, entry.name);
  const { packed } = parameter;
  const itemBytes = ITEM_BYTES[entry.dtype];
  const size = product(entry.shape);
  const piece = pieceOf(entry, parameter);
  for (let start = 0; start < size; start += piece) {
    const count = Math.min(piece, size - start);
    const from = entry.start + start * itemBytes;
    for (let offset = 0; offset < count * itemBytes; offset += WINDOW) {
      const bytes = await read(from + offset, from + Math.min(offset + WINDOW, count * itemBytes));
      device.queue.push({ kind: "write", block: staging, offset, data: wholeWords(bytes) });
    }
    const format = entry.dtype === "F16" ? formatOf("float16", device, entry.name) : SOURCE_FORMAT[entry.dtype];
    if (deltas?.has(key))
      await uploadSum(device, { block: staging }, format, parameter, (weight) => deltas.addTo(key, weight));
    else if (isPlain(parameter))
      gatherInto(device, { block: staging }, format, packed, { shape: [count], strides: [1] }, { start, count });
    else gatherInto(device, { block: staging }, format, packed, packedView(parameter));
  }
}

/** A tensor with what is added to it: in float32, and rounded once. */
async function uploadSum(
  device: Device,
  source: { block: Block },
  format: SourceFormat,
  parameter: Parameter,
  add: (weight: Tensor) => Promise<Tensor>,
): Promise<void> {
  const weight = Tensor.empty(device, parameter.shape, "float32");
  try {
    gatherInto(device, source, format, weight, { shape: [weight.size], strides: [1] });
    const sum = await add(weight);
    gatherInto(device, sum, "f32", parameter.packed, packedView(parameter));
    sum.dispose();
  } finally {
    weight.dispose();
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
