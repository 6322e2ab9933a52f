/** The quick list, every op by every library: checked against the float64 reference first; what is wrong is not timed. */
import { check } from "../check.js";
import { cut, type Limits } from "../cut.js";
import { benchOf } from "../ops.js";
import type { PeerResult, PeerWay } from "../results.js";
import { sd15Rows } from "../sd15.js";
import { quickRows, type Row } from "../shapes.js";
import type { Library, Source, Way } from "./library.js";
import { problemOf, type Problem } from "./problem.js";
import { synchronize, timeSideBySide, type Runner, type WayTiming } from "./side_by_side.js";

export interface CompareOptions {
  /** Smaller ops on software adapters, fewer rounds. */
  quick: boolean;
  /** Only rows whose name or sizes contain this. */
  filter: string;
  /** Called with what opened, before anything is measured, and what did not. */
  begin: (libraries: readonly Library[], missing: Record<string, string>, software: boolean) => void;
  emit: (result: PeerResult) => void;
}

/** Of ops on software adapters: a second of the slowest library there. */
const LIMITS: Limits = { flops: 2e9, elements: 2 ** 23 };
const QUICK_LIMITS: Limits = { flops: 2.5e8, elements: 2 ** 21 };
const BUDGET = { quick: 1500, whole: 6000 };
/** Peers add in other orders and divide by other means; wrong is what is wrong, not what is less exact than ours. */
const PEER_SLACK = 8;

/** @param sources ours first. @throws Error if ours does not open, or the filter matches nothing */
export async function comparePeers(
  sources: readonly Source[],
  { quick, filter, begin, emit }: CompareOptions,
): Promise<void> {
  const [libraries, missing] = await openAll(sources);
  try {
    const software = isSoftware(libraries[0].device.adapterInfo);
    const chosen = quickRows(sd15Rows())
      .map((row) => describe(row, software ? (quick ? QUICK_LIMITS : LIMITS) : undefined))
      .filter(({ result: { op, label, cutFrom = "" } }) => `${op} ${label} ${cutFrom}`.includes(filter));
    if (chosen.length === 0) throw new Error(`--filter: no op contains "${filter}"`);
    begin(libraries, missing, software);
    const absent = Object.entries(missing).map(([library, message]): PeerWay => ({
      library,
      way: "",
      status: "failed",
      message,
    }));
    for (const { result, problem } of chosen) {
      const ways = await measure(libraries, problem(), { budget: quick ? BUDGET.quick : BUDGET.whole });
      emit({ ...result, ways: [...ways, ...absent] });
    }
  } finally {
    for (const library of libraries) await library.close();
  }
}

/** Opens one after the other; all must have the same adapter. */
async function openAll(sources: readonly Source[]): Promise<[Library[], Record<string, string>]> {
  const libraries = [await sources[0].open()];
  const adapter = adapterText(libraries[0]);
  const missing: Record<string, string> = {};
  for (const { name, open } of sources.slice(1)) {
    try {
      const library = await open();
      if (adapterText(library) !== adapter) {
        await library.close();
        throw new Error(`has the adapter ${adapterText(library)}, not ${adapter}`);
      }
      libraries.push(library);
    } catch (error) {
      missing[name] = textOf(error);
    }
  }
  return [libraries, missing];
}

/** Newer Dawns write names in small letters and digits with dashes between. */
const adapterText = ({ device: { adapterInfo: info } }: Library): string =>
  [info.vendor, info.architecture, info.device, info.description]
    .map((name) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-"))
    .join(" ")
    .trim();

const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${info.architecture} ${info.description}`);

const firstLine = (text: string): string => text.split("\n")[0];

const textOf = (error: unknown): string => firstLine(error instanceof Error ? error.message : String(error));

function describe(
  { shape, counts }: Row,
  limits?: Limits,
): { result: Omit<PeerResult, "ways">; problem: () => Problem } {
  const small = limits ? cut(shape, limits) : shape;
  const [whole, bench] = [benchOf(shape)!, benchOf(small)!];
  const { op, label, flops } = bench;
  const result: Omit<PeerResult, "ways"> = { kind: "peers", op, label, dtype: "float32", counts, flops };
  if (whole.label !== label) result.cutFrom = whole.label;
  return { result, problem: () => problemOf(small) };
}

async function measure(
  libraries: readonly Library[],
  problem: Problem,
  options: { budget: number },
): Promise<PeerWay[]> {
  const results: PeerWay[] = [];
  const right: { runner: Runner; result: PeerWay }[] = [];
  const made: Way[] = [];
  try {
    for (const library of libraries) {
      const ways = await library.ways(problem).catch((error: unknown) => textOf(error));
      if (typeof ways === "string") results.push({ library: library.name, way: "", status: "failed", message: ways });
      else
        for (const way of ways) {
          made.push(way);
          const result = await tryOut(library, way, problem, library === libraries[0] ? 1 : PEER_SLACK);
          results.push(result);
          if (result.status === "ok") right.push({ runner: { library, way }, result });
        }
    }
    const listeners = libraries.map(listen);
    const runners = right.map(({ runner }) => runner);
    const times = await timeSideBySide(runners, options);
    const complaints = new Map(libraries.map((library, i) => [library, listeners[i]()]));
    times.forEach((time, i) => {
      const { runner, result } = right[i];
      const complaint = complaints.get(runner.library);
      if ("error" in time) Object.assign(result, { status: "failed", message: complaint ?? textOf(time.error) });
      // Work that WebGPU refused takes no time, so it has none here.
      else if (complaint !== undefined) Object.assign(result, { status: "failed", message: complaint });
      else Object.assign(result, timesOf(time));
    });
    return results;
  } finally {
    // A library that cannot even let go says so when it is asked for the next op.
    for (const way of made) await settled(() => way.dispose());
    for (const library of libraries) await settled(() => synchronize(library));
  }
}

const settled = (work: () => void | Promise<void>): Promise<void> =>
  Promise.resolve()
    .then(work)
    .catch(() => undefined);

const timesOf = ({ median: ms, p10, p90, batches, runs }: WayTiming): Partial<PeerWay> => {
  return { ms, p10, p90, batches, runs };
};

/** Runs it once and checks the result. @param slack factor of the tolerance */
async function tryOut(library: Library, way: Way, { bench, reference }: Problem, slack: number): Promise<PeerWay> {
  const named = { library: library.name, way: way.name };
  const complaint = listen(library);
  const start = performance.now();
  try {
    const got = await way.result();
    const firstMs = performance.now() - start;
    const { ofScale, absolute = 0 } = bench.tolerance("float32");
    const tolerance = { ofScale: slack * ofScale, absolute: slack * absolute };
    const { passed, error, message } = check(got, reference, bench, "float32", tolerance);
    const said = complaint();
    return {
      ...named,
      status: passed ? "ok" : "wrong",
      error,
      message: passed ? undefined : (said ?? message),
      firstMs,
    };
  } catch (error) {
    return { ...named, status: "failed", message: complaint() ?? textOf(error) };
  }
}

/** The first thing that WebGPU complains of on the library's device, until the answer is called. */
function listen({ device }: Library): () => string | undefined {
  let complaint: string | undefined;
  const hear = (event: GPUUncapturedErrorEvent): void => void (complaint ??= firstLine(event.error.message));
  device.addEventListener("uncapturederror", hear);
  return () => {
    device.removeEventListener("uncapturederror", hear);
    return complaint;
  };
}
