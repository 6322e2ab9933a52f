/** Work on several devices at once, which survives the loss of some of them. */
import type { Device } from "../../tensor/device.js";
import { DeviceLostError } from "../../tensor/errors.js";

/**
 * Job i on device i, all at once. Jobs of a device that is lost are done again by devices that are left.
 * @param work does a job on the device of an index; `signal` is aborted when another job failed
 * @param describe what is missing when no device is left, e.g. "picture 2"
 * @returns results in the order of the jobs
 * @throws the first error that is no loss of a device; or an Error that says which jobs are missing
 */
export async function onDevices<T>(
  devices: readonly Device[],
  work: (job: number, device: number, signal: AbortSignal) => Promise<T>,
  describe: (jobs: readonly number[]) => string,
): Promise<T[]> {
  const results = new Map<number, T>();
  const failure = new AbortController();
  let fault: { error: unknown } | undefined;
  let loss: unknown;
  for (;;) {
    const left = devices.map((_, job) => job).filter((job) => !results.has(job));
    if (left.length === 0) return devices.map((_, job) => results.get(job) as T);
    const round = assign(left, devices);
    if (round.size === 0)
      throw new Error(`${describe(left)} missing: every device that could draw is lost`, { cause: loss });
    await Promise.all(
      [...round].map(async ([job, device]) => {
        try {
          results.set(job, await work(job, device, failure.signal));
        } catch (error) {
          if (error instanceof DeviceLostError || devices[device].isLost) loss = error;
          else {
            fault ??= { error };
            failure.abort(error);
          }
        }
      }),
    );
    if (fault) throw fault.error;
  }
}

/** Jobs to devices that are not lost, at most one each: first every job to its own. What finds none waits for the next round. */
function assign(jobs: readonly number[], devices: readonly Device[]): Map<number, number> {
  const alive = (device: number): boolean => !devices[device].isLost;
  const own = jobs.filter(alive);
  const round = new Map(own.map((job) => [job, job]));
  const free = devices.map((_, device) => device).filter((device) => alive(device) && !own.includes(device));
  for (const job of jobs.filter((each) => !alive(each)).slice(0, free.length)) round.set(job, free.shift() as number);
  return round;
}
