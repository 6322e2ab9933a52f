/** The ops of Stable Diffusion 1.5 as traced in sd15-shapes.json: each distinct one once, with its calls per stage. */

interface Traced {
  count: number;
  note?: string;
}
export interface MatmulShape {
  op: "matmul";
  M: number;
  N: number;
  K: number;
  bias: boolean;
}
export interface Conv2dShape {
  op: "conv2d";
  N: number;
  Cin: number;
  H: number;
  W: number;
  Cout: number;
  k: number;
  stride: number;
  pad: number;
  OH: number;
  OW: number;
  /** H x W are what the image is doubled to on the way in: the convolution after an upsampling, of which the trace has both singly. */
  doubled?: true;
  /** One way of computing it, whatever the library would choose; in no trace. */
  way?: "product" | "winograd";
}
export interface AttentionShape {
  op: "attention";
  B: number;
  heads: number;
  Lq: number;
  Lk: number;
  D: number;
  causal: boolean;
}
export interface GroupNormShape {
  op: "groupnorm";
  N: number;
  C: number;
  HW: number;
  groups: number;
  eps: number;
  silu: boolean;
}
export interface LayerNormShape {
  op: "layernorm";
  rows: number;
  C: number;
  eps: number;
}
export interface GegluShape {
  op: "geglu" | "quick_gelu";
  rows: number;
  inner: number;
}
export interface SiluShape {
  op: "silu";
  elems: number;
}
export interface AddShape {
  op: "add";
  shape: number[];
  broadcast: number[] | null;
}
export interface ConcatShape {
  op: "concat_channels";
  N: number;
  C1: number;
  C2: number;
  H: number;
  W: number;
}
export interface UpsampleShape {
  op: "upsample_nearest2x";
  N: number;
  C: number;
  H: number;
  W: number;
  OH: number;
  OW: number;
}
export interface EmbeddingShape {
  op: "embedding";
  vocab: number;
  C: number;
  ids: number;
}
export type Shape =
  | MatmulShape
  | Conv2dShape
  | AttentionShape
  | GroupNormShape
  | LayerNormShape
  | GegluShape
  | SiluShape
  | AddShape
  | ConcatShape
  | UpsampleShape
  | EmbeddingShape;

/** The file, as far as it is read here. */
export interface ShapeTable {
  stages: Record<string, { ops: (Shape & Traced)[] }>;
}

/** One distinct op. */
export interface Row {
  shape: Shape;
  /** Calls in every stage that has it, e.g. `{ unet_b2_64: 7 }`. */
  counts: Record<string, number>;
}

const NOT_SHAPE = [
  "count",
  "flops_each",
  "flops_total",
  "bytes_f16",
  "scores_bytes_f32",
  "note",
  "gemm",
  "elems_per_group",
];

/** All distinct ops, in the order in which the stages first run them. */
export function distinctRows({ stages }: ShapeTable): Row[] {
  const rows = new Map<string, Row>();
  for (const [stage, { ops }] of Object.entries(stages))
    for (const traced of withDoubled(ops)) {
      const fields = Object.entries(traced).filter(([key]) => !NOT_SHAPE.includes(key));
      const key = JSON.stringify(fields);
      const row = rows.get(key) ?? { shape: Object.fromEntries(fields) as unknown as Shape, counts: {} };
      row.counts[stage] = (row.counts[stage] ?? 0) + traced.count;
      rows.set(key, row);
    }
  return [...rows.values()];
}

type Op = Shape & Traced;

/**
 * diffusers' Upsample2D doubles, then convolves to as many channels: those calls apart from others of the same size, as they run here.
 * @throws Error if an upsampling has no convolution behind it
 */
function withDoubled(ops: readonly Op[]): Op[] {
  const left = new Map(ops.map((op) => [op, op.count]));
  const doubled = ops.flatMap((up): Op[] => {
    if (up.op !== "upsample_nearest2x") return [];
    const { N, C, OH, OW, count } = up;
    const after = ops.find(
      (op): op is Conv2dShape & Traced =>
        op.op === "conv2d" &&
        op.k === 3 &&
        op.stride === 1 &&
        op.Cin === C &&
        op.Cout === C &&
        op.N === N &&
        op.H === OH &&
        op.W === OW,
    );
    const others = after ? left.get(after)! - count : -1;
    if (!after || others < 0) throw new Error(`shapes: no convolution follows ${JSON.stringify(up)}`);
    left.set(after, others);
    return [{ ...after, count, doubled: true }];
  });
  return [...ops.flatMap((op) => (left.get(op)! > 0 ? [{ ...op, count: left.get(op)! }] : [])), ...doubled];
}

/** Fields of an op that tell it apart from all others. */
type Wanted = Partial<Record<string, string | number | boolean>>;

/** One of every kind that costs time, without an upsampling before it. */
const QUICK: readonly Wanted[] = [
  { op: "conv2d", N: 2, Cin: 320, Cout: 320, H: 64, k: 3, stride: 1 },
  { op: "conv2d", N: 2, Cin: 640, Cout: 640, H: 32, k: 3, stride: 1 },
  { op: "conv2d", N: 2, Cin: 1280, Cout: 1280, H: 16, k: 3, stride: 1 },
  { op: "conv2d", N: 2, Cin: 1280, Cout: 1280, H: 8, k: 3, stride: 1 },
  { op: "conv2d", N: 1, Cin: 512, Cout: 512, H: 128, k: 3, stride: 1 },
  { op: "conv2d", N: 1, Cin: 128, Cout: 128, H: 512, k: 3, stride: 1 },
  { op: "conv2d", N: 2, Cin: 320, Cout: 320, H: 64, k: 1 },
  { op: "matmul", M: 8192, N: 2560, K: 320 },
  { op: "matmul", M: 2048, N: 5120, K: 640 },
  { op: "matmul", M: 512, N: 1280, K: 5120 },
  { op: "attention", Lq: 4096, Lk: 4096, D: 40 },
  { op: "attention", Lq: 1024, Lk: 1024, D: 80 },
  { op: "attention", Lq: 4096, Lk: 77, D: 40 },
  { op: "groupnorm", N: 2, C: 320, HW: 4096, silu: true },
  { op: "groupnorm", N: 1, C: 128, HW: 262144, silu: true },
  { op: "layernorm", rows: 8192, C: 320 },
];

/** The rows of the quick list. @throws Error if the table has not exactly one row for an entry */
export const quickRows = (rows: readonly Row[]): Row[] =>
  QUICK.map((wanted) => {
    const found = rows.filter(
      ({ shape }) =>
        !("doubled" in shape) &&
        Object.entries(wanted).every(([key, value]) => (shape as unknown as Wanted)[key] === value),
    );
    if (found.length !== 1) throw new Error(`shapes: ${found.length} rows match ${JSON.stringify(wanted)}, want one`);
    return found[0];
  });
