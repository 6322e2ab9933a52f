// What the shared tests use of vitest, for the page in a browser. An unknown matcher is "not a function", so a test that
// needs more than this fails loudly instead of passing by accident.
import { equals, show } from "./equals.js";

export interface Result {
  name: string;
  state: "passed" | "failed" | "skipped";
  /** Why it was skipped, or the error with its stack. */
  text?: string;
  milliseconds: number;
}

type Body = (context: { skip(reason?: string): never }) => unknown;
type Hook = () => unknown;
interface Hooks {
  beforeAll: Hook[];
  beforeEach: Hook[];
  afterEach: Hook[];
  afterAll: Hook[];
}
interface Suite extends Hooks {
  name: string;
  children: (Suite | { name: string; body: Body; timeout: number })[];
}
class Skip extends Error {}

const DEFAULT_TIMEOUT = 120_000;
/** SwiftShader takes several times as long as the adapters that the tests' own limits were chosen for. */
const SLOWNESS = 4;
const newSuite = (name: string): Suite => ({
  name,
  children: [],
  beforeAll: [],
  beforeEach: [],
  afterEach: [],
  afterAll: [],
});
let current = newSuite("");

export function describe(name: string, body: () => void): void {
  const parent = current;
  const suite = newSuite(name);
  parent.children.push(suite);
  current = suite;
  try {
    body();
  } finally {
    current = parent;
  }
}

export function test(name: string, a: Body | { timeout?: number }, b?: Body | number): void {
  const body = (typeof a === "function" ? a : b) as Body;
  const timeout = typeof b === "number" ? b : typeof a === "object" ? a.timeout : undefined;
  current.children.push({ name, body, timeout: SLOWNESS * (timeout ?? DEFAULT_TIMEOUT) });
}
export const it = test;

export const beforeAll = (hook: Hook): unknown => current.beforeAll.push(hook);
export const beforeEach = (hook: Hook): unknown => current.beforeEach.push(hook);
export const afterEach = (hook: Hook): unknown => current.afterEach.push(hook);
export const afterAll = (hook: Hook): unknown => current.afterAll.push(hook);

/** Collects the tests that `load` (the import of one test file) registers, runs them in order, reports each. */
export async function runFile(
  file: string,
  load: () => Promise<unknown>,
  report: (result: Result) => Promise<unknown>,
  onStart: (name: string) => Promise<unknown>,
): Promise<void> {
  current = newSuite(file);
  const suite = current;
  const failed = (name: string, error: unknown): Promise<unknown> =>
    report({ name, state: "failed", text: describeError(error), milliseconds: 0 });
  await onStart(file);
  try {
    await load();
  } catch (error) {
    await failed(`${file} (import)`, error);
    return;
  }
  if (countTests(suite) === 0) await failed(`${file} (import)`, new Error("the file registers no test"));
  await runSuite(suite, file, []);

  async function runSuite(part: Suite, path: string, outer: Suite[]): Promise<void> {
    try {
      for (const hook of part.beforeAll) await within(DEFAULT_TIMEOUT, hook);
      for (const child of part.children) {
        const name = `${path} > ${child.name}`;
        if ("children" in child) await runSuite(child, name, [...outer, part]);
        else {
          await onStart(name);
          await report(await runTest(name, child.body, child.timeout, [...outer, part]));
        }
      }
    } catch (error) {
      await failed(`${path} (beforeAll)`, error);
    }
    try {
      for (const hook of part.afterAll.reverse()) await within(DEFAULT_TIMEOUT, hook);
    } catch (error) {
      await failed(`${path} (afterAll)`, error);
    }
  }
}

async function runTest(name: string, body: Body, timeout: number, suites: Suite[]): Promise<Result> {
  const start = performance.now();
  const result: Result = { name, state: "passed", milliseconds: 0 };
  const attempt = async (steps: () => Promise<void>): Promise<void> => {
    try {
      await steps();
    } catch (error) {
      if (error instanceof Skip && result.state === "passed")
        Object.assign(result, { state: "skipped", text: error.message });
      // What fails after the test itself has failed, such as a check for leaks, follows from that.
      else if (!(error instanceof Skip) && result.state !== "failed")
        Object.assign(result, { state: "failed", text: describeError(error) });
    }
  };
  const skip = (reason = ""): never => {
    throw new Skip(reason);
  };
  await attempt(async () => {
    for (const suite of suites) for (const hook of suite.beforeEach) await within(DEFAULT_TIMEOUT, hook);
    await within(timeout, () => body({ skip }));
  });
  await attempt(async () => {
    for (const suite of [...suites].reverse())
      for (const hook of [...suite.afterEach].reverse()) await within(DEFAULT_TIMEOUT, hook);
  });
  result.milliseconds = performance.now() - start;
  return result;
}

function within(milliseconds: number, body: () => unknown): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([(async () => body())(), late]).finally(() => clearTimeout(timer));
}

const countTests = (suite: Suite): number =>
  suite.children.reduce((sum, child) => sum + ("children" in child ? countTests(child) : 1), 0);

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${show(error)}`;
  const cause = error.cause === undefined ? "" : `\ncaused by ${describeError(error.cause)}`;
  return (error.stack?.includes(error.message) ? error.stack : `${error.name}: ${error.message}`) + cause;
}

// Every matcher takes the received value first and says whether it matches.
const matchers = {
  toBe: (got: unknown, wanted: unknown) => Object.is(got, wanted),
  toEqual: (got: unknown, wanted: unknown) => equals(got, wanted, false),
  toStrictEqual: (got: unknown, wanted: unknown) => equals(got, wanted, true),
  toBeLessThan: (got: number, limit: number) => got < limit,
  toBeLessThanOrEqual: (got: number, limit: number) => got <= limit,
  toBeGreaterThan: (got: number, limit: number) => got > limit,
  toBeGreaterThanOrEqual: (got: number, limit: number) => got >= limit,
  toBeCloseTo: (got: number, wanted: number, digits = 2) =>
    got === wanted || Math.abs(got - wanted) < 10 ** -digits / 2,
  toContain: (got: string | Iterable<unknown>, item: unknown) =>
    typeof got === "string" ? got.includes(item as string) : [...got].includes(item),
  toMatch: (got: string, pattern: RegExp | string) => matches(got, pattern),
  toHaveLength: (got: { length: number }, length: number) => got.length === length,
  toBeNull: (got: unknown) => got === null,
  toBeUndefined: (got: unknown) => got === undefined,
  toBeDefined: (got: unknown) => got !== undefined,
  toBeTruthy: (got: unknown) => Boolean(got),
  toBeFalsy: (got: unknown) => !got,
  toBeNaN: (got: unknown) => Number.isNaN(got),
  toBeInstanceOf: (got: unknown, type: new (...a: never[]) => unknown) => got instanceof type,
};

type Wanted = RegExp | string | Error | (new (...a: never[]) => unknown) | undefined;
const matches = (got: string, pattern: RegExp | string): boolean =>
  typeof pattern === "string" ? got.includes(pattern) : pattern.test(got);

function throwsAsWanted(thrown: { error: unknown } | null, wanted: Wanted): boolean {
  if (!thrown || wanted === undefined) return thrown !== null;
  if (typeof wanted === "function") return thrown.error instanceof wanted;
  const message = thrown.error instanceof Error ? thrown.error.message : String(thrown.error);
  return wanted instanceof Error ? message === wanted.message : matches(message, wanted);
}

function toThrow(body: () => unknown, wanted: Wanted): boolean {
  try {
    body();
  } catch (error) {
    return throwsAsWanted({ error }, wanted);
  }
  return false;
}

function check(pass: boolean, negated: boolean, name: string, got: unknown, args: unknown[], note?: string): void {
  if (pass !== negated) return;
  const wanted = args.map((arg) => show(arg)).join(", ");
  throw new Error(`${note ? `${note}: ` : ""}expected ${show(got)} ${negated ? "not " : ""}${name}(${wanted})`);
}

type Assertions = Record<string, (...args: never[]) => unknown>;

function assertions(got: unknown, negated: boolean, note?: string): Assertions {
  const result: Assertions = {
    toThrow: (wanted?: Wanted) => check(toThrow(got as () => unknown, wanted), negated, "toThrow", got, [wanted], note),
  };
  for (const [name, matcher] of Object.entries(matchers) as [string, (...args: unknown[]) => boolean][])
    result[name] = (...args: unknown[]) => check(matcher(got, ...args), negated, name, got, args, note);
  return result;
}

/** `resolves` and `rejects`: the same matchers on the promise's value or error. */
function later(got: unknown, wantRejection: boolean, negated: boolean, note?: string): Assertions {
  const settle = async (): Promise<unknown> => {
    const [value, rejected] = await Promise.resolve(typeof got === "function" ? got() : got).then(
      (value: unknown) => [value, false] as const,
      (error: unknown) => [error, true] as const,
    );
    if (rejected === wantRejection) return value;
    throw new Error(`${note ? `${note}: ` : ""}the promise ${rejected ? "rejected" : "resolved"} with ${show(value)}`);
  };
  const result: Assertions = {};
  for (const name of Object.keys(matchers))
    result[name] = async (...args: never[]) => assertions(await settle(), negated, note)[name](...args);
  result.toThrow = async (wanted?: Wanted) => {
    const error = await settle();
    check(throwsAsWanted({ error }, wanted), negated, "toThrow", error, [wanted], note);
  };
  return result;
}

export function expect(got: unknown, note?: string): unknown {
  const both = (negated: boolean): object => ({
    ...assertions(got, negated, note),
    resolves: { ...later(got, false, negated, note), not: later(got, false, !negated, note) },
    rejects: { ...later(got, true, negated, note), not: later(got, true, !negated, note) },
  });
  return { ...both(false), not: both(true) };
}
