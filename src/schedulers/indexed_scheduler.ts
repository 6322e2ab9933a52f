/** Base of the schedulers that count the steps of a run instead of looking up each timestep. */
import { checkSet, offSchedule } from "./checks.js";
import { Scheduler } from "./scheduler.js";

export abstract class IndexedScheduler<C extends object = object> extends Scheduler<C> {
  /** Whether `step` must come after `setTimesteps`. Otherwise it can walk the schedule that the constructor made. */
  protected readonly needsSetTimesteps: boolean = false;
  /** What becomes of a timestep that is not in the schedule: diffusers' solvers take the last index, the others raise. */
  protected readonly offSchedule: "refused" | "last" = "refused";
  #stepIndex: number | null = null;
  #beginIndex: number | null = null;

  /** Index of the next step; null until the first call of the run. */
  get stepIndex(): number | null {
    return this.#stepIndex;
  }

  /** Index of the first step, where a pipeline set it. */
  get beginIndex(): number | null {
    return this.#beginIndex;
  }

  /** Says at which index of the schedule the run begins (image to image begins later than 0). */
  setBeginIndex(index = 0): void {
    this.#beginIndex = index;
  }

  override reset(): void {
    this.#stepIndex = null;
  }

  /** Starts anew on a new schedule. */
  protected restart(): void {
    this.#beginIndex = null;
    this.reset();
  }

  /**
   * Index of a timestep in the schedule; of a repeated one the second, so that a run that begins in the middle of a
   * schedule of order 2 does not begin with half a step.
   * @throws RangeError for one that is not in the schedule, where the class does not take the last index for it
   */
  indexForTimestep(timestep: number, schedule: readonly number[] = this.timesteps): number {
    if (!Number.isFinite(timestep)) throw offSchedule(this.className, timestep);
    const t = Math.fround(timestep);
    const first = schedule.findIndex((other) => Math.fround(other) === t);
    if (first < 0 && this.offSchedule === "last") return this.timesteps.length - 1;
    if (first < 0) throw offSchedule(this.className, timestep);
    const second = schedule.findIndex((other, i) => i > first && Math.fround(other) === t);
    return second < 0 ? first : second;
  }

  /** Index of the step that `timestep` begins; found from the timestep at the first call and counted from then on. */
  protected currentIndex(timestep: number): number {
    this.#stepIndex ??= this.#beginIndex ?? this.indexForTimestep(timestep);
    return this.#stepIndex;
  }

  /** As `currentIndex`, for `step`. @throws Error after the last step, and before `setTimesteps` where it must be called */
  protected indexOfStep(timestep: number): number {
    if (this.needsSetTimesteps) checkSet(this.className, this.numInferenceSteps);
    const index = this.currentIndex(timestep);
    if (index < this.timesteps.length) return index;
    throw new RangeError(
      `${this.className}.step: the schedule of ${this.timesteps.length} timesteps is done; call setTimesteps or reset for another run`,
    );
  }

  protected advance(): void {
    if (this.#stepIndex !== null) this.#stepIndex++;
  }

  /** Index of the level that `addNoise` uses at a timestep: inside a run, that of the run. */
  protected noiseIndex(timestep: number): number {
    return this.#beginIndex === null ? this.indexForTimestep(timestep) : (this.#stepIndex ?? this.#beginIndex);
  }
}
