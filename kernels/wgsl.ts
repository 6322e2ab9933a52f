/**
 * What every kernel file shares: the `wgsl` tag, the params struct, and typed access to tensors.
 * The only importer of wgsl-preprocessor.
 */
import { wgsl as preprocess } from "wgsl-preprocessor/wgsl-preprocessor.js";
import { storeHalves } from "./halves.js";

/** How a tensor's numbers lie in its buffer. All arithmetic is in f32 whatever the format.
 *  `f32`: one word each; `f16`: shader-f16's type; `pack16`: the same bytes read as u32 pairs where shader-f16 is absent;
 *  `bits16`: the same, made by integer arithmetic (halves.ts). */
export type Format = "f32" | "f16" | "pack16" | "bits16";

/** Numbers of so many bits, whatever they mean: what kernels have that only move them. Accessors then give and take u32s. */
export type BitsFormat = "u32" | "u16";
export const bitsOf = (format: Format): BitsFormat => (format === "f32" ? "u32" : "u16");

/** The types of one number and of four. */
export const typesOf = (format: Format | BitsFormat): readonly [one: string, four: string] =>
  format === "u32" || format === "u16" ? ["u32", "vec4u"] : ["f32", "vec4f"];

/** How a kernel binds a tensor: a storage buffer, or a texture with the buffer's content (see `tensor`). */
export type Access = "read" | "write" | "texture";

/** Operands of a product that are read through textures: neither, w, or both. */
export type Textures = "none" | "w" | "xw";

/** How the left and the right operand are bound. */
export const operandAccess = (textures: Textures): readonly [x: Access, w: Access] => [
  textures === "xw" ? "texture" : "read",
  textures === "none" ? "read" : "texture",
];

/** Scalars only: every field is 4 bytes, so field i lives at byte 4*i and no alignment rule applies. */
export type Params = Readonly<Record<string, "u32" | "i32" | "f32">>;

/** A run of u32 fields. */
export const u32s = (...names: string[]): Params => Object.fromEntries(names.map((name) => [name, "u32" as const]));

/** One kernel family. `source` renders the WGSL text of a variant; params are declared once and written by the device. */
export interface Kernel<V = Record<string, never>> {
  readonly name: string;
  readonly params: Params;
  /** Storage bindings in order, after the params at binding 0. */
  bindings(variant: V): readonly Access[];
  source(variant: V): string;
}

type Value = string | number | boolean;

/** Renders WGSL with `#if ${x}` … `#elif ${x}` … `#else` … `#endif`. Values are typed so that `undefined` fails to compile. */
export function wgsl(strings: TemplateStringsArray, ...values: Value[]): string {
  for (const value of values)
    if (typeof value === "number" && !Number.isFinite(value))
      throw new Error(`wgsl: a number must be finite, got ${value}`);
  const text = preprocess(strings, ...values);
  const left = text.split("\n").find((line) => /^\s*#/.test(line));
  if (left !== undefined) throw new Error(`wgsl: a directive was not processed: ${left.trim()}`);
  return text;
}

/** The uniform at binding 0, its fields in declaration order. */
export function paramsStruct(params: Params): string {
  const fields = Object.entries(params).map(([name, type]) => `  ${name}: ${type},`);
  return `struct Params {\n${fields.join("\n")}\n}\n@group(0) @binding(0) var<uniform> params: Params;\n`;
}

/** `enable` directives of a format; must be the first text of a module. */
export const enable = (format: Format, subgroups = false): string =>
  (format === "f16" ? "enable f16;\n" : "") + (subgroups ? "enable subgroups;\n" : "");

/** A tensor in a texture lies there quad after quad in rows of this many texels; one texel is one quad. */
export const TEXTURE_WIDTH = 2048;

const ELEMENT: Record<Format | BitsFormat, string> = {
  f32: "vec4f",
  f16: "vec4<f16>",
  pack16: "vec2u",
  bits16: "vec2u",
  u32: "vec4u",
  u16: "vec2u",
};

/**
 * Declares a tensor at `binding` and its accessors: `load4_x(quad)` and `load_x(element)` return f32 (u32 of a BitsFormat),
 * `store4_x(quad, v)` writes four consecutive elements. Buffers are padded to whole quads, and a thread
 * always writes whole quads: two threads never share a 32-bit word, so f16 needs no atomics. A "texture" holds a copy of the
 * tensor: CPU adapters fetch a texel for less than they load four numbers, each with its bounds check, for every lane.
 * Format f16 has `half4_x(quad)` too, which gives the halves as they are: operands of subgroup matrices.
 */
export function tensor(binding: number, name: string, access: Access, format: Format | BitsFormat): string {
  if (access === "texture")
    return `@group(0) @binding(${binding}) var ${name}: texture_2d<f32>;
fn load4_${name}(quad: u32) -> vec4f { return textureLoad(${name}, vec2u(quad % ${TEXTURE_WIDTH}u, quad / ${TEXTURE_WIDTH}u), 0); }
fn load_${name}(element: u32) -> f32 { return load4_${name}(element >> 2u)[element & 3u]; }
`;
  const [one, four] = typesOf(format);
  const mode = access === "read" ? "read" : "read_write";
  const declaration = `@group(0) @binding(${binding}) var<storage, ${mode}> ${name}: array<${ELEMENT[format]}>;\n`;
  if (access === "write")
    return declaration + `fn store4_${name}(quad: u32, v: ${four}) { ${STORE[format](`${name}[quad]`)} }\n`;
  return (
    declaration +
    `fn load4_${name}(quad: u32) -> ${four} { let v = ${name}[quad]; return ${LOAD[format]}; }\n` +
    `fn load_${name}(element: u32) -> ${one} { ${loadOne(name, format)} }\n` +
    (format === "f16" ? `fn half4_${name}(quad: u32) -> vec4<f16> { return ${name}[quad]; }\n` : "")
  );
}

/** The four numbers of `v`, an element. */
const LOAD: Record<Format | BitsFormat, string> = {
  f32: "v",
  f16: "vec4f(v)",
  pack16: "vec4f(unpack2x16float(v.x), unpack2x16float(v.y))",
  bits16: "vec4f(unpack2x16float(v.x), unpack2x16float(v.y))",
  u32: "v",
  u16: "vec4u(v.x & 0xffffu, v.x >> 16u, v.y & 0xffffu, v.y >> 16u)",
};

/** Makes an element of `v`, four numbers. */
const STORE: Record<Format | BitsFormat, (target: string) => string> = {
  f32: (target) => `${target} = v;`,
  f16: (target) => `${target} = vec4<f16>(v);`,
  pack16: (target) => `${target} = vec2u(pack2x16float(v.xy), pack2x16float(v.zw));`,
  bits16: storeHalves,
  u32: (target) => `${target} = v;`,
  u16: (target) => `${target} = v.xz | (v.yw << vec2u(16u));`,
};

function loadOne(name: string, format: Format | BitsFormat): string {
  if (format === "f32" || format === "u32") return `return ${name}[element >> 2u][element & 3u];`;
  if (format === "f16") return `return f32(${name}[element >> 2u][element & 3u]);`;
  const word = `let word = ${name}[element >> 2u][(element >> 1u) & 1u];`;
  return format === "u16"
    ? `${word} return (word >> (16u * (element & 1u))) & 0xffffu;`
    : `${word} return unpack2x16float(word)[element & 1u];`;
}

/** `[0, 1, … n-1]`, for bodies unrolled in text: software adapters and FXC do not unroll loops over private arrays well. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** `a * b + c`. lavapipe fuses only the builtin `fma`; SwiftShader runs that builtin as a slow call. */
export type MultiplyAdd = (a: string, b: string, c: string) => string;
export const multiplyAdd = (fused: boolean): MultiplyAdd =>
  fused ? (a, b, c) => `fma(${a}, ${b}, ${c})` : (a, b, c) => `${a} * ${b} + ${c}`;

/** Linear index of a workgroup in a grid that may be folded over y because x is limited to 65535. */
export const linearWorkgroup = "(workgroup.y * grid.x + workgroup.x)";

/** Threads of a workgroup of kernels that number all their threads. */
export const THREADS = 64;

/** Their entry point, up to the thread's number under a name. */
export const numbered = (name: string): string => `
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let ${name} = ${linearWorkgroup} * ${THREADS}u + local;`;
