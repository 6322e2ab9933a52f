/** Which fields a line of a results file must have: those that tables and charts read. Files come from other versions and other hands. */
import type { Line } from "./results.js";
import { CLOCKS, variantText } from "./table.js";

type Check = (value: unknown) => boolean;
type Fields = Readonly<Record<string, Check>>;

const text: Check = (value) => typeof value === "string";
const number: Check = (value) => typeof value === "number";
const flag: Check = (value) => typeof value === "boolean";
const map: Check = (value) => typeof value === "object" && value !== null;
const oneOf =
  (names: readonly string[]): Check =>
  (value) =>
    names.includes(value as string);
const listOf =
  (each: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(each);
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const mapOf =
  (each: Check): Check =>
  (value) =>
    map(value) && Object.values(value as object).every(each);

const all = (names: readonly string[], check: Check): Fields =>
  Object.fromEntries(names.map((name) => [name, check] as const));

const pipeline: Check = (value) => {
  try {
    return text(value) && text(variantText(value as string));
  } catch {
    return false; // a variant that is no JSON
  }
};

const RUN: Fields = {
  ...all(["date", "adapter"], text),
  ...all(["version", "node", "platform", "cpu", "driver", "browser"], maybe(text)),
  ...all(["loadAverage", "tuned"], maybe(number)),
  ...all(["software", "tune"], maybe(flag)),
  clock: oneOf(Object.keys(CLOCKS)),
  peers: maybe(mapOf(text)),
};
const MEASURED: Fields = { ...all(["ms", "p10", "p90", "error"], maybe(number)), message: maybe(text) };
const OP: Fields = {
  ...all(["op", "label", "dtype"], text),
  cutFrom: maybe(text),
  counts: mapOf(number),
  flops: number,
};

const WAY: Fields = { ...MEASURED, ...all(["library", "way"], text), status: oneOf(["ok", "wrong", "failed"]) };

const wrongField = (value: unknown, fields: Fields): string | undefined =>
  Object.keys(fields).find((name) => !fields[name]((value as Record<string, unknown>)[name]));

const KINDS: Readonly<Record<Line["kind"], Fields>> = {
  op: {
    ...OP,
    ...MEASURED,
    status: oneOf(["ok", "wrong", "failed", "fused"]),
    pipelines: maybe(listOf(pipeline)),
    ...all(["gflops", "gbs", "percent", "doneFlops"], maybe(number)),
  },
  roofline: {
    ...all(["peakForm", "bandwidthForm"], text),
    ...all(["peakGflops", "bandwidthGBs", "dispatchMicroseconds", "recordMicroseconds"], number),
    ...all(["submitAndWaitMs", "readbackMs"], number),
    matrixGflops: maybe(number),
  },
  whole: { ...all(["name", "dtype", "unit"], text), value: number, ...all(["p10", "p90"], maybe(number)) },
  peers: { ...OP, ways: listOf((way) => map(way) && wrongField(way, WAY) === undefined) },
};
/** The first field that is missing or is not what it must be; undefined where there is none. */
export function firstWrong(value: unknown): string | undefined {
  if (!map(value)) return "kind";
  const { kind, run } = value as Line;
  if (!oneOf(Object.keys(KINDS))(kind)) return "kind";
  if (!map(run)) return "run";
  const ofRun = wrongField(run, RUN);
  return ofRun === undefined ? wrongField(value, KINDS[kind]) : `run.${ofRun}`;
}
