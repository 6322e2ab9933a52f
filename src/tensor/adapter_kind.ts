import type { MatrixShape } from "../../kernels/tile_parts.js";
import type { HalfFormat } from "./dtype.js";

/** What is known of adapters by name: which kernels suit them (measured; see bench/README.md). */

/** What a GPU has for products beside its lanes. */
export interface ProductUnits {
  /** Matrices that a subgroup multiplies at once, of halves, with sums in f32; null: none, or subgroups vary in size. */
  matrix: MatrixShape | null;
  /** Of a subgroup; 0 without matrices. */
  lanes: number;
}

export interface AdapterKind {
  /** A CPU adapter, where workgroup memory and barriers cost more than they save. */
  isSoftware: boolean;
  /** The builtin fma() is faster than a*b+c: llvmpipe fuses only the builtin (Mesa 26; 25 fuses nothing), SwiftShader runs it as a slow call. */
  fusedMultiplyAdd: boolean;
  /** Lanes of every subgroup, for kernels that broadcast among them; 0 where that does not pay or the size varies. */
  broadcastLanes: number;
  /**
   * Halves as shader-f16's type, or as words of two: llvmpipe loads lane by lane and number by number, words for a third, and makes
   * halves by branches where that is not spelled out.
   */
  halfFormat: HalfFormat;
  /** Threads that walk through memory side by side: the lanes of a CPU adapter's subgroup; 0 on GPUs (kernels/streams.ts). */
  streamLanes: number;
  /** Subgroups have four lanes, which trade numbers by quad swaps for less than they load them. */
  quadSwaps: boolean;
  /** Texels are fetched for less than four numbers are loaded from a buffer: operands of products go through textures. */
  cheapTextures: boolean;
  /** Kernels are fastest with their turns unrolled in text, and compile fast enough (kernels/tile_workgroup.ts). */
  unrollsTurns: boolean;
  /** From how many channels on the multiply-adds that Winograd's filtering spares cost more than its memory (ops/winograd.ts). */
  winogradChannels: number;
  /** Operations one dispatch may do, to stay near 100 ms; ops split along rows above it. */
  flopsBudget: number;
  productUnits: ProductUnits;
}

/** 5 GFLOP/s on SwiftShader, 20 on llvmpipe, 100 on the slowest GPU, 1000 on the slowest with matrix units, for 100 ms. */
const FLOPS_BUDGET = { swiftShader: 5e8, llvmpipe: 2e9, hardware: 1e10, matrix: 1e11 };

/** Measured, `npm run bench -- --filter "conv2d 3x3"`. GPUs have more multiply-adds for each byte of memory. */
const WINOGRAD_CHANNELS = { llvmpipe: 55, swiftShader: 35 };

/** Of a CPU adapter that does not tell: those of four floats in one register. */
const SOFTWARE_LANES = 4;

/** What an adapter calls itself. */
export const adapterName = ({ vendor, architecture, device, description }: GPUAdapterInfo): string =>
  `${vendor} ${architecture} ${device} ${description}`;

/** True for CPU adapters: SwiftShader, llvmpipe, WARP. */
export const isSoftwareAdapter = (info: GPUAdapterInfo): boolean =>
  /swiftshader|llvmpipe|lavapipe|warp|basic render|microsoft/i.test(adapterName(info)) ||
  info.isFallbackAdapter === true;

export function adapterKind(info: GPUAdapterInfo, features: ReadonlySet<string>): AdapterKind {
  const name = adapterName(info);
  const llvmpipe = /llvmpipe|lavapipe/i.test(name);
  const isSoftware = isSoftwareAdapter(info);
  const swiftShader = /swiftshader/i.test(name);
  const halfFormat = llvmpipe ? "bits16" : features.has("shader-f16") ? "f16" : "pack16";
  const productUnits = unitsOf(info, features, halfFormat);
  const lanes = fixedLanes(info, features);
  return {
    isSoftware,
    fusedMultiplyAdd: llvmpipe,
    broadcastLanes: llvmpipe ? lanes : 0,
    halfFormat,
    streamLanes: isSoftware ? lanes || SOFTWARE_LANES : 0,
    quadSwaps: swiftShader && lanes === 4,
    cheapTextures: swiftShader,
    unrollsTurns: !isSoftware,
    winogradChannels: llvmpipe ? WINOGRAD_CHANNELS.llvmpipe : isSoftware ? WINOGRAD_CHANNELS.swiftShader : Infinity,
    productUnits,
    flopsBudget: llvmpipe
      ? FLOPS_BUDGET.llvmpipe
      : isSoftware
        ? FLOPS_BUDGET.swiftShader
        : FLOPS_BUDGET[productUnits.matrix ? "matrix" : "hardware"],
  };
}

/** Lanes of a subgroup, where all have as many; else, and without subgroups, 0. */
export const fixedLanes = (info: GPUAdapterInfo, features: ReadonlySet<string>): number =>
  features.has("subgroups") && info.subgroupMinSize === info.subgroupMaxSize ? (info.subgroupMinSize ?? 0) : 0;

/** Dawn's experimental feature, and what it says of its matrices. */
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix";
interface MatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** Matrices take halves as they are: none where kernels read them as words. */
export function unitsOf(info: GPUAdapterInfo, features: ReadonlySet<string>, halfFormat: HalfFormat): ProductUnits {
  const none = { matrix: null, lanes: 0 };
  const lanes = fixedLanes(info, features);
  if (!features.has(SUBGROUP_MATRIX) || halfFormat !== "f16" || lanes === 0) return none;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: readonly MatrixConfig[] };
  const [best] = [...subgroupMatrixConfigs]
    .filter(({ componentType, resultComponentType }) => componentType === "f16" && resultComponentType === "f32")
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return best ? { matrix: { m: best.M, n: best.N, k: best.K }, lanes } : none;
}
