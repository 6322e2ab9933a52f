/**
 * A device that can be watched: which pipelines run, and how long the GPU says its passes took. It stands between the
 * library and WebGPU, so that the library needs no code for benchmarks and is timed as its users have it.
 */
import { requestDevice, type Device } from "../src/tensor/device.js";
import type { Block } from "../src/tensor/memory.js";

/** Passes one measurement may hold: WebGPU allows 4096 queries per set. */
const MAX_PASSES = 2048;

/** What the GPU's clock says of one dispatch. */
export interface DispatchTime {
  /** Of its pipeline. */
  label: string;
  ms: number;
}

/** What ran while somebody watched. */
export interface Watched {
  dispatches: number;
  passes: number;
  submits: number;
  /** Labels of the pipelines, each once, in order of their first dispatch. */
  pipelines: string[];
}

export class Probe {
  #querySet: GPUQuerySet | undefined;
  #results: Block | undefined;
  /** The next pass to be timed; negative while none is. */
  #pass = -1;
  #watched: Watched | undefined;
  /** While every dispatch has a pass of its own: the pipelines' labels, in order. */
  #profiled: string[] | undefined;
  #labels = new Set<string>();

  private constructor(
    readonly device: Device,
    readonly gpu: GPUDevice,
  ) {
    this.#hook();
  }

  /** Makes a device on `adapter` (an adapter makes one device only); `device.destroy()` ends it. */
  static async create(adapter: GPUAdapter): Promise<Probe> {
    let gpu: GPUDevice | undefined;
    const watching = {
      features: adapter.features,
      limits: adapter.limits,
      info: adapter.info,
      requestDevice: async (descriptor: GPUDeviceDescriptor) => (gpu = await adapter.requestDevice(descriptor)),
    };
    const device = await requestDevice({ adapter: watching as unknown as GPUAdapter });
    return new Probe(device, gpu!);
  }

  get hasTimestamps(): boolean {
    return this.device.features.has("timestamp-query");
  }

  /** Runs `work` and says what it dispatched. */
  async watch(work: () => void | Promise<void>): Promise<Watched> {
    await this.device.synchronize();
    const watched: Watched = { dispatches: 0, passes: 0, submits: 0, pipelines: [] };
    this.#watched = watched;
    this.#labels.clear();
    try {
      await work();
      await this.device.synchronize();
    } finally {
      this.#watched = undefined;
    }
    watched.pipelines = [...this.#labels];
    return watched;
  }

  /**
   * The sum of the times of all passes that `record` makes, in milliseconds by the GPU's clock: without the time
   * between submits, when a GPU waits for the CPU. Null if there were too many passes to time.
   */
  async passTime(record: () => void): Promise<number | null> {
    const times = await this.#passTimes(record);
    return times && times.reduce((sum, ms) => sum + ms, 0);
  }

  /**
   * The same of each dispatch, in order. They wait for each other, and none of them shares the GPU's setup with the next: together
   * they take longer than in one pass.
   */
  async dispatchTimes(record: () => void): Promise<DispatchTime[] | null> {
    const labels: string[] = [];
    this.#profiled = labels;
    try {
      const times = await this.#passTimes(record);
      return times && times.map((ms, i) => ({ label: labels[i], ms }));
    } finally {
      this.#profiled = undefined;
    }
  }

  async #passTimes(record: () => void): Promise<number[] | null> {
    const { device, gpu } = this;
    this.#querySet ??= gpu.createQuerySet({ type: "timestamp", count: 2 * MAX_PASSES });
    const { QUERY_RESOLVE, COPY_SRC } = GPUBufferUsage;
    this.#results ??= device.memory.create(16 * MAX_PASSES, "timestamps", QUERY_RESOLVE | COPY_SRC);
    await device.synchronize();
    this.#pass = 0;
    let passes = 0;
    try {
      record();
      await device.flush();
    } finally {
      passes = this.#pass;
      this.#pass = -1;
    }
    if (passes === 0 || passes > MAX_PASSES) return null;
    const encoder = gpu.createCommandEncoder();
    encoder.resolveQuerySet(this.#querySet, 0, 2 * passes, this.#results.buffer, 0);
    gpu.queue.submit([encoder.finish()]);
    const stamps = new BigInt64Array(await device.readBytes(this.#results, 16 * passes));
    return Array.from({ length: passes }, (_, i) => Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6);
  }

  #hook(): void {
    const { gpu } = this;
    const createCommandEncoder = gpu.createCommandEncoder.bind(gpu);
    const submit = gpu.queue.submit.bind(gpu.queue);
    const { queue } = gpu;
    gpu.createCommandEncoder = (descriptor) => {
      const encoder = createCommandEncoder(descriptor);
      if (this.#pass < 0 && !this.#watched) return encoder;
      const beginComputePass = encoder.beginComputePass.bind(encoder);
      const timed: GPUCommandEncoder["beginComputePass"] = (pass) =>
        beginComputePass({ ...pass, ...this.#timestamps() });
      encoder.beginComputePass = (pass) =>
        this.#profiled ? onePerDispatch(timed, this.#profiled) : this.#hookPass(timed(pass));
      return encoder;
    };
    queue.submit = (buffers) => {
      if (this.#watched) this.#watched.submits++;
      return submit(buffers);
    };
    // Dawn's binding makes a new object for `device.queue` each time; the hooked one must be the only one.
    Object.defineProperty(gpu, "queue", { value: queue });
  }

  #timestamps(): Pick<GPUComputePassDescriptor, "timestampWrites"> {
    if (this.#pass < 0) return {};
    const pass = this.#pass++;
    if (pass >= MAX_PASSES) return {};
    const [beginningOfPassWriteIndex, endOfPassWriteIndex] = [2 * pass, 2 * pass + 1];
    return { timestampWrites: { querySet: this.#querySet!, beginningOfPassWriteIndex, endOfPassWriteIndex } };
  }

  #hookPass(pass: GPUComputePassEncoder): GPUComputePassEncoder {
    const watched = this.#watched;
    if (!watched) return pass;
    watched.passes++;
    const setPipeline = pass.setPipeline.bind(pass);
    const dispatchWorkgroups = pass.dispatchWorkgroups.bind(pass);
    pass.setPipeline = (pipeline) => {
      this.#labels.add(pipeline.label);
      return setPipeline(pipeline);
    };
    pass.dispatchWorkgroups = (...grid) => {
      watched.dispatches++;
      return dispatchWorkgroups(...grid);
    };
    return pass;
  }
}

/** Stands for a pass, and makes one of every dispatch; `labels` are told whose. */
function onePerDispatch(begin: () => GPUComputePassEncoder, labels: string[]): GPUComputePassEncoder {
  let pipeline: GPUComputePipeline;
  let group: Parameters<GPUComputePassEncoder["setBindGroup"]>;
  const pass: Pick<GPUComputePassEncoder, "setPipeline" | "setBindGroup" | "dispatchWorkgroups" | "end"> = {
    setPipeline: (next) => void (pipeline = next),
    setBindGroup: (...args: unknown[]) => void (group = args as typeof group),
    dispatchWorkgroups(...grid) {
      const own = begin();
      own.setPipeline(pipeline);
      own.setBindGroup(...group);
      own.dispatchWorkgroups(...grid);
      own.end();
      labels.push(pipeline.label);
    },
    end: () => undefined,
  };
  return pass as GPUComputePassEncoder;
}
