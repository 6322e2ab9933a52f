/** Batches of runs: how many runs make one, and waiting for its end without keeping one of the computing cores busy. */

/** A batch as it was measured. */
export interface Batch {
  /** Milliseconds of all its runs. */
  time: number;
  /** The work may have ended while we slept: a time by the wall clock then says how long we slept. */
  overslept: boolean;
}

/** Measures so many runs, one after another, sleeping `sleep` milliseconds before their end is awaited. */
export type MeasureBatch = (runs: number, sleep: number) => Promise<Batch>;

export interface BatchOptions {
  /** Milliseconds a batch takes at least. */
  batch: number;
  /** More runs would fill the memory with recorded commands. */
  maxRuns: number;
  /** Whether to sleep through most of a known time: on CPU adapters, see `nap`. */
  sleeps: boolean;
}

const [MIN_BATCHES, MAX_BATCHES] = [3, 20];
/** What short batches say is little, so from one to the next they grow by this much at most. */
const GROWTH = 8;
/** A batch this long, in milliseconds, needs no second look. */
const LONG = 3000;
/** Of the shortest batch so far; before the first, of what calibration says. */
const [SLEPT, SLEPT_FIRST] = [0.8, 0.5];

/** How many batches of `took` milliseconds fill a budget, within reason. */
export const batchCount = (budget: number, took: number): number =>
  Math.max(MIN_BATCHES, Math.min(MAX_BATCHES, Math.round(budget / took)));

/** The batches of one piece of work. */
export class Batches {
  /** Milliseconds of one run, of every batch. */
  readonly samples: number[] = [];
  #sleep: number;

  /**
   * @param runs in a batch
   * @param took milliseconds of a batch, about
   */
  private constructor(
    private readonly measure: MeasureBatch,
    private readonly sleeps: boolean,
    readonly runs: number,
    readonly took: number,
  ) {
    this.#sleep = sleeps ? SLEPT_FIRST * took : 0;
  }

  /** Finds how many runs make a batch. The work must have run before. */
  static async calibrate(measure: MeasureBatch, { batch, maxRuns, sleeps }: BatchOptions): Promise<Batches> {
    // A batch that is long enough is measured again, and the shorter time counts: something else that took the machine
    // for a moment would make batches of too few runs.
    const timeOf = async (runs: number): Promise<number> => {
      const { time } = await measure(runs, 0);
      return time < batch || time > LONG ? time : Math.min(time, (await measure(runs, 0)).time);
    };
    let runs = 1;
    let took = await timeOf(runs);
    while (took < batch && runs < maxRuns) {
      const factor = Math.min(GROWTH, Math.max(2, Math.ceil((1.2 * batch) / Math.max(took, 1e-3))));
      runs = Math.min(maxRuns, runs * factor);
      took = await timeOf(runs);
    }
    return new Batches(measure, sleeps, runs, took);
  }

  /** Measures one more. */
  async add(): Promise<void> {
    let { time, overslept } = await this.measure(this.runs, this.#sleep);
    while (overslept) {
      this.#sleep /= 2;
      ({ time, overslept } = await this.measure(this.runs, this.#sleep));
    }
    this.samples.push(time / this.runs);
    if (this.sleeps) this.#sleep = SLEPT * this.runs * Math.min(...this.samples);
  }
}

/** A queue of work that ends later. */
export interface WorkQueue {
  /** Submits what is recorded. */
  flush(): void | Promise<void>;
  /** Submits it and waits until all has ended. */
  synchronize(): Promise<void>;
}

/**
 * A batch by the wall clock: from an idle queue, from the begin of `record` until all it has recorded is known to have
 * ended.
 */
export async function wallBatch(queue: WorkQueue, record: () => void | Promise<void>, sleep = 0): Promise<Batch> {
  await queue.synchronize();
  const start = performance.now();
  await record();
  await queue.flush();
  const slept = await nap(sleep - (performance.now() - start));
  const woke = performance.now();
  await queue.synchronize();
  const end = performance.now();
  if (!slept) return { time: end - start, overslept: false };
  await queue.synchronize();
  const idle = performance.now() - end;
  // A wait that is hardly longer than that for an idle queue was none.
  return { time: end - start, overslept: end - woke < 2 * idle + 0.02 * (end - start) };
}

/** Timers are not more exact than this, in milliseconds. */
const SHORTEST_NAP = 2;

/**
 * Sleeps, if it is worth it; says whether it did. While a promise of Dawn's is pending, Node polls in a busy loop, on one
 * of the cores on which a CPU adapter computes. So most of a known time is slept through before anything is awaited.
 */
export async function nap(milliseconds: number): Promise<boolean> {
  if (milliseconds < SHORTEST_NAP) return false;
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return true;
}
