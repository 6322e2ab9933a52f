/** What a page tells Node, which has given it `tellNode` where it runs in headless Chrome. */
import type { Result, RunInfo } from "../results.js";

export interface PageEnd {
  type: "end";
  error?: string;
}

/** Of the suite's page. */
export type PageMessage = { type: "begin"; run: RunInfo } | { type: "result"; result: Result } | PageEnd;

declare global {
  var tellNode: ((message: object) => Promise<void>) | undefined;
}

/** In order, one after the other. */
export const tell = <M extends object>(message: M): void => void globalThis.tellNode?.(message);

/** @returns the last message of a page whose work is `work` */
export const endOf = (work: Promise<unknown>): Promise<PageEnd> =>
  work.then(
    () => ({ type: "end" }),
    (error: unknown) => ({ type: "end", error: error instanceof Error ? error.message : String(error) }),
  );
