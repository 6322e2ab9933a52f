/** So many downloads run at once; the others wait. */
const MAX_DOWNLOADS = 4;

let running = 0;
const waiting: (() => void)[] = [];

/** Runs `work` when fewer than four others run. Rejects with the signal's reason when it aborts before that. */
export async function inTurn<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  if (running < MAX_DOWNLOADS) running++;
  else await turn(signal);
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

function turn(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      waiting.splice(waiting.indexOf(start), 1);
      reject(signal?.reason as Error);
    };
    const start = (): void => {
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    waiting.push(start);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
