/** Batches of runs: how many runs make one, and how long they take. */

/** Milliseconds of so many runs, one after another. */
export type MeasureBatch = (runs: number) => Promise<number>;

export interface BatchOptions {
  /** Milliseconds a batch takes at least. */
  batch: number;
  /** More runs would fill the memory with recorded commands. */
  maxRuns: number;
}

const [MIN_BATCHES, MAX_BATCHES] = [3, 20];
/** What short batches say is little, so from one to the next they grow by this much at most. */
const GROWTH = 8;
/** A batch this long, in milliseconds, needs no second look. */
const LONG = 3000;

/** How many batches of `took` milliseconds fill a budget, within reason. */
export const batchCount = (budget: number, took: number): number =>
  Math.max(MIN_BATCHES, Math.min(MAX_BATCHES, Math.round(budget / took)));

/** The batches of one piece of work. */
export class Batches {
  /** Milliseconds of one run, of every batch. */
  readonly samples: number[] = [];

  /**
   * @param runs in a batch
   * @param took milliseconds of a batch, about
   */
  private constructor(
    private readonly measure: MeasureBatch,
    readonly runs: number,
    readonly took: number,
  ) {}

  /** Finds how many runs make a batch. The work must have run before. */
  static async calibrate(measure: MeasureBatch, { batch, maxRuns }: BatchOptions): Promise<Batches> {
    // A batch that is long enough is measured again, and the shorter time counts: something else that took the machine
    // for a moment would make batches of too few runs.
    const timeOf = async (runs: number): Promise<number> => {
      const time = await measure(runs);
      return time < batch || time > LONG ? time : Math.min(time, await measure(runs));
    };
    let runs = 1;
    let took = await timeOf(runs);
    while (took < batch && runs < maxRuns) {
      const factor = Math.min(GROWTH, Math.max(2, Math.ceil((1.2 * batch) / Math.max(took, 1e-3))));
      runs = Math.min(maxRuns, runs * factor);
      took = await timeOf(runs);
    }
    return new Batches(measure, runs, took);
  }

  /** Measures one more. */
  async add(): Promise<void> {
    this.samples.push((await this.measure(this.runs)) / this.runs);
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
 * Milliseconds by the wall clock: from an idle queue, from the begin of `record` until all it has recorded is known to have ended.
 * In Node that is known a millisecond late (src/tensor/dawn_events.ts).
 */
export async function wallTime(queue: WorkQueue, record: () => void | Promise<void>): Promise<number> {
  await queue.synchronize();
  const start = performance.now();
  await record();
  await queue.flush();
  await queue.synchronize();
  return performance.now() - start;
}
