/** Compute pipelines and bind groups of one device, made once per kernel variant and set of buffers. */
import type { Access, Kernel, Params } from "../../kernels/wgsl.js";
import { GPUValidationError } from "./errors.js";
import type { Block, TextureBlock } from "./memory.js";

/** Bytes of one dispatch's params; also WebGPU's default alignment of dynamic uniform offsets. */
export const PARAMS_BYTES = 256;

/** Bind groups that are kept: several models' ops. lavapipe maps memory for each, and Linux allows 65530 maps a process. */
export const MOST_BIND_GROUPS = 2048;

export interface PipelineEntry {
  /** Kernel name and variant: the label of module, pipeline and errors. */
  readonly label: string;
  readonly layout: GPUBindGroupLayout;
  readonly layoutKey: string;
  /** How each binding after the params is used. */
  readonly access: readonly Access[];
  /** Names and types of the params, in order. */
  readonly params: readonly (readonly [name: string, type: Params[string]])[];
  /** Resolves when `pipeline` or `error` is set; never rejects. */
  readonly ready: Promise<void>;
  pipeline: GPUComputePipeline | null;
  error: Error | null;
}

/** One storage binding: a block, or a byte range of it where the whole exceeds the binding limit. */
export interface BufferRange {
  readonly block: Block;
  readonly offset?: number;
  readonly size?: number;
}

export type Binding = BufferRange | TextureBlock;

export class PipelineCache {
  #entries = new Map<string, PipelineEntry>();
  #layouts = new Map<string, GPUBindGroupLayout>();
  #groups = new Map<string, GPUBindGroup>();

  constructor(
    private readonly gpu: GPUDevice,
    private readonly uniforms: GPUBuffer,
  ) {}

  get size(): number {
    return this.#entries.size;
  }

  get bindGroups(): number {
    return this.#groups.size;
  }

  /** The pipeline of a variant; the first call starts its compilation and returns at once. */
  get<V>(kernel: Kernel<V>, variant: V): PipelineEntry {
    const label = `${kernel.name} ${JSON.stringify(variant)}`;
    let entry = this.#entries.get(label);
    if (!entry) this.#entries.set(label, (entry = this.#compile(kernel, variant, label)));
    return entry;
  }

  bindGroup(entry: PipelineEntry, bindings: readonly Binding[]): GPUBindGroup {
    let key = entry.layoutKey;
    for (const binding of bindings)
      if ("view" in binding) key += `|${binding.id}`;
      else key += `|${binding.block.id}${binding.offset === undefined ? "" : `:${binding.offset}:${binding.size}`}`;
    let group = this.#groups.get(key);
    if (!group) {
      if (this.#groups.size >= MOST_BIND_GROUPS) this.forgetBindGroups();
      this.#groups.set(key, (group = this.makeBindGroup(entry, bindings, this.uniforms)));
    }
    return group;
  }

  /** A bind group that nobody caches, with params in a buffer of the caller's. */
  makeBindGroup(entry: PipelineEntry, bindings: readonly Binding[], uniforms: GPUBuffer): GPUBindGroup {
    const entries: GPUBindGroupEntry[] = [
      { binding: 0, resource: { buffer: uniforms, size: PARAMS_BYTES } },
      ...bindings.map((binding, i) => ({ binding: i + 1, resource: resourceOf(binding) })),
    ];
    return this.gpu.createBindGroup({ label: entry.label, layout: entry.layout, entries });
  }

  /** Bind groups hold their buffers; forget them when buffers are destroyed. */
  forgetBindGroups(): void {
    this.#groups.clear();
  }

  #layout(key: string, access: readonly Access[]): GPUBindGroupLayout {
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.gpu.createBindGroupLayout({
        label: key,
        entries: [
          {
            binding: 0,
            visibility: 4,
            buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: PARAMS_BYTES },
          },
          ...access.map((mode, i): GPUBindGroupLayoutEntry => {
            const place = { binding: i + 1, visibility: 4 };
            if (mode === "texture") return { ...place, texture: { sampleType: "unfilterable-float" } };
            return { ...place, buffer: { type: mode === "read" ? "read-only-storage" : "storage" } };
          }),
        ],
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  #compile<V>(kernel: Kernel<V>, variant: V, label: string): PipelineEntry {
    const access = kernel.bindings(variant);
    const layoutKey = access.map((mode) => mode[0]).join("");
    const layout = this.#layout(layoutKey, access);
    const code = kernel.source(variant);
    const { gpu } = this;
    const entry: { -readonly [K in keyof PipelineEntry]: PipelineEntry[K] } = {
      label,
      layout,
      layoutKey,
      access,
      params: Object.entries(kernel.params),
      pipeline: null,
      error: null,
      ready: Promise.resolve(),
    };
    entry.ready = compile(gpu, label, code, layout).then(
      (pipeline) => void (entry.pipeline = pipeline),
      (error: Error) => void (entry.error = error),
    );
    return entry;
  }
}

function resourceOf(binding: Binding): GPUBindingResource {
  if ("view" in binding) return binding.view;
  const { block, offset = 0, size = block.offset === undefined ? undefined : block.bytes } = binding;
  return { buffer: block.buffer, offset: (block.offset ?? 0) + offset, ...(size === undefined ? {} : { size }) };
}

async function compile(
  gpu: GPUDevice,
  label: string,
  code: string,
  layout: GPUBindGroupLayout,
): Promise<GPUComputePipeline> {
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ label, code });
  const scope = gpu.popErrorScope();
  try {
    const pipelineLayout = gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] });
    const pipeline = await gpu.createComputePipelineAsync({
      label,
      layout: pipelineLayout,
      compute: { module, entryPoint: "main" },
    });
    await scope;
    return pipeline;
  } catch (error) {
    const shaderError = await scope.catch(() => null);
    const { messages } = await module.getCompilationInfo();
    const lines = code.split("\n");
    const detail = messages.map(
      (m) => `  line ${m.lineNum}:${m.linePos} ${m.type}: ${m.message}\n    ${lines[m.lineNum - 1] ?? ""}`,
    );
    throw new GPUValidationError(
      `${label}: the kernel does not compile. ${shaderError?.message ?? (error as Error).message}\n${detail.join("\n")}`,
    );
  }
}

/** The params of one dispatch as words; a missing or unknown field or a fraction in an integer is an error naming it. */
export function packParams(entry: PipelineEntry, values: Readonly<Record<string, number>>): Uint32Array {
  const { params } = entry;
  const words = new Uint32Array(params.length);
  const floats = new Float32Array(words.buffer);
  for (let i = 0; i < params.length; i++) {
    const [name, type] = params[i];
    const value = values[name];
    if (value === undefined) throw new Error(`${entry.label}: the param "${name}" is missing`);
    if (type === "f32") floats[i] = value;
    else if (Number.isInteger(value)) words[i] = value;
    else throw new RangeError(`${entry.label}: the param "${name}" is an ${type}, got ${value}`);
  }
  const given = Object.keys(values);
  if (given.length !== params.length) {
    const unknown = given.filter((name) => !params.some(([known]) => known === name));
    throw new Error(`${entry.label}: unknown params ${unknown.join(", ")}`);
  }
  return words;
}
