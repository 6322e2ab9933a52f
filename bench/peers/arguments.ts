import { parse } from "../../src/cli/arguments.js";
import { UsageError } from "../../src/cli/errors.js";

export interface PeerArguments {
  quick: boolean;
  filter: string;
  json?: string;
  where: "node" | "chrome";
}

/** @throws UsageError */
export function peerArguments(args: string[]): PeerArguments {
  const { values, flags, positionals } = parse(args, ["filter", "json", "where"], ["quick"]);
  if (positionals.length > 0) throw new UsageError(`bench takes options only, got "${positionals.join(" ")}"`);
  const { filter = "", json, where = "node" } = values;
  if (where !== "node" && where !== "chrome") throw new UsageError(`--where must be node or chrome, got "${where}"`);
  return { quick: flags.quick, filter, json, where };
}
