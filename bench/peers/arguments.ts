import { parse } from "../../src/cli/arguments.js";
import { UsageError } from "../../src/cli/errors.js";

export interface PeerArguments {
  quick: boolean;
  filter: string;
  json?: string;
  where: "node" | "chrome";
  /** The other libraries to run; all where there are none named. */
  only?: string[];
  /** A Python interpreter that has tinygrad/requirements.txt, to have tinygrad beside us as well. */
  tinygrad?: string;
}

/** @throws UsageError */
export function peerArguments(args: string[]): PeerArguments {
  const { values, flags, positionals } = parse(args, ["filter", "json", "where", "only", "tinygrad"], ["quick"]);
  if (positionals.length > 0) throw new UsageError(`bench takes options only, got "${positionals.join(" ")}"`);
  const { filter = "", json, where = "node", only, tinygrad } = values;
  if (where !== "node" && where !== "chrome") throw new UsageError(`--where must be node or chrome, got "${where}"`);
  if (where === "chrome" && tinygrad !== undefined) throw new UsageError("--tinygrad is no library for browsers");
  return { quick: flags.quick, filter, json, where, only: only?.split(","), tinygrad };
}
