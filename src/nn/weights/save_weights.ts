/** Weights from the GPU to safetensors files, piece by piece, in the layout of torch. */
import { inFolder, saveText, type SaveTarget } from "../../loader/save_target.js";
import { Columns, placeOf, type Operand } from "../../tensor/columns.js";
import type { Device } from "../../tensor/device.js";
import { float32ToFloat16, formatOf, paddedBytes, product, type DType } from "../../tensor/dtype.js";
import { gatherInto, type Gather } from "../../tensor/ops/copy.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Parameter } from "../module.js";
import { isWeightFile, layoutWeights, shardOrder, type LayoutOptions, type SaveDType } from "./save_layout.js";

/** Elements read back at a time: 4 MiB of float32, so that pieces that wait for garbage collection stay few tens of MiB. A
 *  multiple of 128, as piecewise bindings want it. */
const PIECE = 1 << 20;

/**
 * Writes the weights of `parameters` below `folder`, then removes older weights of the same stem and variant, whose index
 * or shards a loader would take for the new ones.
 */
export async function saveWeights(
  target: SaveTarget,
  folder: string,
  parameters: ReadonlyMap<string, Parameter>,
  options: LayoutOptions,
): Promise<void> {
  const tensors = shardOrder([...parameters.keys()], options.stem).map((key) => ({
    key,
    shape: (parameters.get(key) as Parameter).shape,
  }));
  const { files, index } = layoutWeights(tensors, options);
  const before = await target.list(folder);
  for (const { name, header, keys } of files)
    await target.write(inFolder(folder, name), fileBytes(header, keys, parameters, options.dtype));
  if (index) await saveText(target, inFolder(folder, index.name), index.text);
  const written = new Set([...files.map(({ name }) => name), index?.name]);
  const stale = before.filter((name) => isWeightFile(name, options.stem, options.variant) && !written.has(name));
  // The index first: without it the shards are not looked at.
  stale.sort((a, b) => Number(b.endsWith(".json")) - Number(a.endsWith(".json")));
  for (const name of stale) await target.remove(inFolder(folder, name));
}

async function* fileBytes(
  header: Uint8Array,
  keys: readonly string[],
  parameters: ReadonlyMap<string, Parameter>,
  dtype: SaveDType,
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const key of keys) yield* tensorBytes(parameters.get(key) as Parameter, dtype);
}

/** The little-endian bytes of one parameter in the file's layout. */
export async function* tensorBytes(parameter: Parameter, dtype: SaveDType): AsyncGenerator<Uint8Array> {
  const { packed } = parameter;
  const { tensor: value } = placeOf(packed);
  const { device } = value;
  for (const view of pieces(unpackedView(parameter, packed))) {
    // Halves are made here and not on the GPU, which may round either way: torch rounds to nearest, ties to even.
    const narrow = dtype === "float16" && value.dtype === "float32";
    const bytes = await readPiece(device, value, view, narrow ? "float32" : dtype);
    if (narrow) yield new Uint8Array(float32ToFloat16(new Float32Array(bytes.buffer, 0, product(view.shape))).buffer);
    else yield bytes;
  }
}

/** The bytes of one piece of a tensor. */
export async function readPiece(
  device: Device,
  value: Tensor,
  { shape, strides, offset = 0 }: Gather,
  dtype: DType,
): Promise<Uint8Array<ArrayBuffer>> {
  const count = product(shape);
  // A piece of a plain tensor is bound alone: CLIP's token table exceeds the default binding limit.
  const plain = shape.length === 1;
  const source = plain
    ? { block: value.block, offset: offset * value.itemSize, size: paddedBytes(count, value.dtype) }
    : value;
  const format = formatOf(value.dtype, device, "savePretrained");
  const piece = device.keep(Tensor.empty(device, [count], dtype));
  try {
    gatherInto(device, source, format, piece, { shape, strides, offset: plain ? 0 : offset });
    return new Uint8Array(await device.readBytes(piece.block, piece.bytes), 0, count * piece.itemSize);
  } finally {
    piece.dispose();
  }
}

/** The inverse of the packing on load, see Packing: [in, out] -> [out, in], [kh, kw, in, out] -> [out, in, kh, kw]. */
function unpackedView({ shape, packing }: Parameter, packed: Operand): Gather {
  const { stride, start } = placeOf(packed);
  // Two axes where it is a range: a tensor's first axis alone is bound from where it starts, which only some places allow.
  if (packing === "none" && packed instanceof Columns) return { shape: [1, shape[0]], strides: [0, 1], offset: start };
  if (packing === "none") return { shape: [product(shape)], strides: [1] };
  const [outputs, inputs, , kernelWidth] = shape;
  if (packing === "gated") return { shape: [2, outputs / 8, 4, inputs ?? 1], strides: [4, 8, 1, outputs] };
  if (packing === "linear") return { shape, strides: [1, stride], offset: start };
  const area = inputs * outputs;
  return { shape, strides: [1, outputs, kernelWidth * area, area] };
}

/** Cuts a view along its first axes into pieces of at most PIECE elements, in the order of the dense result. */
export function* pieces({ shape, strides, offset = 0 }: Gather): Generator<Gather> {
  const size = product(shape);
  if (size <= PIECE) {
    if (size > 0) yield { shape, strides, offset };
    return;
  }
  const axis = shape.findIndex((n) => n > 1);
  const rows = Math.max(1, Math.floor(PIECE / (size / shape[axis])));
  for (let start = 0; start < shape[axis]; start += rows)
    yield* pieces({
      shape: shape.map((n, i) => (i === axis ? Math.min(rows, n - start) : n)),
      strides,
      offset: offset + start * strides[axis],
    });
}
