/** What turns timesteps into vectors, before the layers of TimestepEmbedding; diffusers/models/embeddings.py. */
import { shown } from "../../arguments/shown.js";
import type { Device } from "../../tensor/device.js";
import { embedding } from "../../tensor/ops/shape.js";
import { sinusoid } from "../../tensor/ops/sinusoid.js";
import { toFloat } from "../../tensor/ops/to_float.js";
import { Tensor } from "../../tensor/tensor.js";
import { timestepEmbedding, timestepFrequencies } from "../embeddings.js";
import { Embedding } from "../layers.js";
import { Module, Parameter } from "../module.js";

/** Timesteps, or other numbers that are embedded as timesteps are: known here, or on the GPU ([n], any dtype). */
export type Steps = readonly number[] | Tensor;

export interface TimeProjection extends Module {
  /** Numbers per step. */
  readonly width: number;
  /** @returns [n, width], float32 or the dtype of the weights */
  forward(steps: Steps, device: Device): Tensor;
}

/** Sinusoids of the frequencies of Ho et al. 2020. */
export class Timesteps extends Module implements TimeProjection {
  readonly #frequencies: { flipSinToCos: boolean; freqShift: number };
  readonly #width: number;

  constructor(width: number, frequencies: { flipSinToCos: boolean; freqShift: number }) {
    super();
    this.#width = width;
    this.#frequencies = frequencies;
  }

  get width(): number {
    return this.#width;
  }

  forward(steps: Steps, device: Device): Tensor {
    const { flipSinToCos, freqShift } = this.#frequencies;
    if (!(steps instanceof Tensor))
      return Tensor.from(timestepEmbedding(steps, this.width, this.#frequencies), [steps.length, this.width], {
        device,
      });
    return device.scope(() => {
      const half = this.width >> 1;
      const frequencies = Tensor.from(timestepFrequencies(half, freqShift), [half], { device });
      return sinusoid(toFloat(steps), frequencies, { width: this.width, flipSinToCos });
    });
  }
}

/** Sinusoids of random frequencies that are part of the weights; for noise levels, of which the logarithm may be taken. */
export class GaussianFourierProjection extends Module implements TimeProjection {
  readonly weight: Parameter;
  readonly #log: boolean;
  readonly #flipSinToCos: boolean;

  /** @param size number of frequencies */
  constructor(size: number, { log, flipSinToCos }: { log: boolean; flipSinToCos: boolean }) {
    super();
    // In float32 always: an angle is the frequency times up to 40, and halves would be off by a tenth of a radian.
    this.weight = new Parameter([size], "none", "float32");
    this.#log = log;
    this.#flipSinToCos = flipSinToCos;
  }

  get width(): number {
    return 2 * this.weight.shape[0];
  }

  forward(steps: Steps, device: Device): Tensor {
    const { width } = this;
    if (this.#log && steps instanceof Tensor)
      throw new TypeError("GaussianFourierProjection: takes numbers, not a tensor, where their logarithm is embedded");
    return device.scope(() => {
      const level = (t: number): number => (this.#log ? Math.log(Math.fround(t)) : t);
      const t = steps instanceof Tensor ? toFloat(steps) : Tensor.from(steps.map(level), [steps.length], { device });
      const options = { width, flipSinToCos: this.#flipSinToCos, factor: Math.fround(2 * Math.PI) };
      return sinusoid(t, this.weight.value, options);
    });
  }
}

/** A row of a table per timestep. */
export class LearnedTimesteps extends Embedding implements TimeProjection {
  get width(): number {
    return this.weight.shape[1];
  }

  forward(steps: Steps, device: Device): Tensor {
    return lookUp(this, steps, device);
  }
}

/**
 * Rows of a table.
 * @param ids int32 [n], or numbers; those must be rows of the table
 * @returns [n, width]
 */
export function lookUp({ weight }: Embedding, ids: Steps, device: Device): Tensor {
  const [rows, width] = weight.shape;
  if (ids instanceof Tensor ? ids.dtype !== "int32" : !ids.every((id) => Number.isInteger(id) && id >= 0 && id < rows))
    throw new RangeError(`Embedding: takes integers from 0 to ${rows - 1}, got ${shown(ids)}`);
  return device.scope(() => {
    const tensor = ids instanceof Tensor ? ids : Tensor.from(Int32Array.from(ids), [ids.length], { device });
    return embedding(tensor.reshape([tensor.size, 1]), weight.value).reshape([tensor.size, width]);
  });
}
