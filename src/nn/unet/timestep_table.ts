/** What a model takes of the timesteps of a schedule, computed for many of them at once: one product instead of one per step. */
import type { Device } from "../../tensor/device.js";
import { slice } from "../../tensor/ops/copy.js";
import type { PlanInput } from "../../tensor/plan.js";
import type { Tensor } from "../../tensor/tensor.js";

/** Rows of a schedule's table at most, more than the usual calls have steps: 10 MB of Stable Diffusion 1.5's in float32. */
const MOST_ROWS = 128;

/** What the blocks take of some timesteps, of all of a schedule where they are not too many. */
interface Schedule {
  /** [timesteps * each, …] */
  tables: readonly Tensor[];
  each: number;
  places: ReadonlyMap<number, number>;
  condition: Tensor | undefined;
}

export class TimestepTable {
  #schedule: Schedule | null = null;

  /** @param timesteps that will come, if known */
  constructor(
    private readonly model: {
      embedSchedule(device: Device, timesteps: readonly number[], condition?: Tensor): Tensor[];
    },
    private readonly device: Device,
    private readonly timesteps: readonly number[],
  ) {}

  /** The rows of a timestep, in the caller's scope; its table is made where there is none. */
  rows(timestep: number, condition?: Tensor): PlanInput[] {
    if (this.#schedule?.condition !== condition || !this.#schedule?.places.has(timestep)) {
      this.dispose();
      this.#schedule = this.#embed(timestep, condition);
    }
    const { tables, each, places } = this.#schedule!;
    const first = each * places.get(timestep)!;
    // Rows of whole quads are copied from where they lie.
    return tables.map((of) => (of.shape[1] % 4 === 0 ? { of, first, count: each } : slice(of, 0, first, each)));
  }

  dispose(): void {
    for (const table of this.#schedule?.tables ?? []) table.dispose();
    this.#schedule = null;
  }

  /** The table of a timestep and those that follow it. */
  #embed(timestep: number, condition: Tensor | undefined): Schedule {
    const { device, model, timesteps } = this;
    const each = condition?.shape[0] ?? 1;
    const at = timesteps.indexOf(timestep);
    const next = at < 0 ? [timestep] : [...new Set(timesteps.slice(at))];
    const chosen = next.slice(0, Math.max(1, Math.floor(MOST_ROWS / each)));
    const tables = model.embedSchedule(device, chosen, condition).map((table) => device.keep(table));
    // What the product took besides, copies of weights in textures for one, would be held through the steps that follow; what the first
    // table took is given back by UNetSteps.begin().
    if (at > 0) device.trim();
    return { tables, each, condition, places: new Map(chosen.map((t, i) => [t, i])) };
  }
}
