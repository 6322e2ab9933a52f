/** Collects console.warn while `work` runs. */
export async function warnings(work: () => unknown): Promise<string[]> {
  const seen: string[] = [];
  const original = console.warn;
  console.warn = (...args: unknown[]) => void seen.push(args.join(" "));
  try {
    await work();
  } finally {
    console.warn = original;
  }
  return seen;
}
