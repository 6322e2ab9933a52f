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

/** What Winograd's filtering costs beside its multiply-adds (ops/winograd.ts). */
export interface WinogradCosts {
  /** From how many channels on the multiply-adds that it spares cost more than its memory, in floats and in halves; Infinity: never. */
  channels: Record<"floats" | "halves", number>;
  /** What a place of the weights costs when they are made, in multiply-adds of so many tiles. */
  tiles: number;
  /** Bytes that image and sums in the basis take at once. */
  bytes: number;
}

export interface AdapterKind {
  /** A CPU adapter, where workgroup memory and barriers cost more than they save. */
  isSoftware: boolean;
  /**
   * The builtin fma() is faster than a*b+c, or as fast: llvmpipe fuses only the builtin (Mesa 26; 25 fuses nothing), and so does D3D12,
   * whose shaders Dawn compiles with IEEE strictness. SwiftShader runs it as a slow call.
   */
  fusedMultiplyAdd: boolean;
  /** Lanes of every subgroup, for kernels that broadcast among them; 0 where that does not pay or the size varies. */
  broadcastLanes: number;
  /**
   * Halves as shader-f16's type, or as words of two: llvmpipe loads lane by lane and number by number, words for a third, and makes
   * halves by branches where that is not spelled out. pack2x16float may cut off instead of rounding, and take what is too large for the
   * largest half instead of infinity (D3D's rules for f32tof16): words are made by it on SwiftShader only, which rounds.
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
  winograd: WinogradCosts;
  /** Operations one dispatch may do, to stay near 100 ms; ops split along rows above it. */
  flopsBudget: number;
  productUnits: ProductUnits;
}

/** 5 GFLOP/s on SwiftShader, 20 on llvmpipe, 100 on the slowest GPU, 1000 on the slowest with matrix units, for 100 ms. */
const FLOPS_BUDGET = { swiftShader: 5e8, llvmpipe: 2e9, hardware: 1e10, matrix: 1e11 };

/**
 * Measured, `npm run bench -- --filter "conv2d 3x3"`. On CPU adapters one image of 8 x 8 pixels loses by it, two gain; on an H100 one of
 * 16 x 16 does neither. GPUs have more multiply-adds for each byte of memory, of matrices most.
 */
const WINOGRAD = {
  llvmpipe: { channels: { floats: 55, halves: 55 }, tiles: 24, bytes: 16 * 2 ** 20 },
  swiftShader: { channels: { floats: 35, halves: 35 }, tiles: 24, bytes: 16 * 2 ** 20 },
  hardware: { channels: { floats: 90, halves: 90 }, tiles: 80, bytes: 64 * 2 ** 20 },
  matrix: { channels: { floats: 90, halves: 190 }, tiles: 80, bytes: 64 * 2 ** 20 },
};

/** Of a CPU adapter that does not tell: those of four floats in one register. */
const SOFTWARE_LANES = 4;

/** What an adapter calls itself. */
export const adapterName = ({ vendor, architecture, device, description }: GPUAdapterInfo): string =>
  `${vendor} ${architecture} ${device} ${description}`;

/** The part of it that says most to people: browsers leave out what would tell users apart. */
export const adapterTitle = ({ vendor, architecture, device, description }: GPUAdapterInfo): string =>
  description || device || [vendor, architecture].filter(Boolean).join(" ") || "an adapter without a name";

/** True for CPU adapters: SwiftShader, llvmpipe, WARP. */
export const isSoftwareAdapter = (info: GPUAdapterInfo): boolean =>
  /swiftshader|llvmpipe|lavapipe|warp|basic render|microsoft/i.test(adapterName(info)) ||
  info.isFallbackAdapter === true;

export function adapterKind(info: GPUAdapterInfo, features: ReadonlySet<string>): AdapterKind {
  const name = adapterName(info);
  const llvmpipe = /llvmpipe|lavapipe/i.test(name);
  const isSoftware = isSoftwareAdapter(info);
  const swiftShader = /swiftshader/i.test(name);
  const packed = swiftShader ? "pack16" : "bits16";
  const halfFormat = !llvmpipe && features.has("shader-f16") ? "f16" : packed;
  const productUnits = unitsOf(info, features, halfFormat);
  const lanes = fixedLanes(info, features);
  // WARP and unknown ones count as SwiftShader, which they resemble most.
  const ofHardware = productUnits.matrix ? "matrix" : "hardware";
  const known = llvmpipe ? "llvmpipe" : isSoftware ? "swiftShader" : ofHardware;
  return {
    isSoftware,
    fusedMultiplyAdd: llvmpipe || !isSoftware,
    broadcastLanes: llvmpipe ? lanes : 0,
    halfFormat,
    streamLanes: isSoftware ? lanes || SOFTWARE_LANES : 0,
    quadSwaps: swiftShader && lanes === 4,
    cheapTextures: swiftShader,
    unrollsTurns: !isSoftware,
    winograd: WINOGRAD[known],
    productUnits,
    flopsBudget: FLOPS_BUDGET[known],
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
