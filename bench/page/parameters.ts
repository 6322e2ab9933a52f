/** What a run is asked for, as the parameters of the page's address: quick=yes|no, tune=yes|no, dtype, filter, and run to start at once. */
import type { FloatType } from "../../test/cases/data.js";

export interface Asked {
  quick: boolean;
  tune: boolean;
  /** All, where there is none. */
  dtype?: FloatType;
  /** Empty for everything. */
  filter: string;
}

export const dtypesOf = ({ dtype }: Asked): readonly FloatType[] => (dtype ? [dtype] : ["float32", "float16"]);

/** @param run whether the page starts without being told to */
export function writeParameters({ quick, tune, dtype, filter }: Asked, run: boolean): string {
  const parameters = new URLSearchParams({ quick: quick ? "yes" : "no" });
  if (tune) parameters.set("tune", "yes");
  if (dtype) parameters.set("dtype", dtype);
  if (filter) parameters.set("filter", filter);
  if (run) parameters.set("run", "");
  return `?${parameters}`;
}

/** @throws Error that names the parameter */
export function readParameters(query: string): { asked: Asked; run: boolean } {
  const parameters = new URLSearchParams(query);
  const choice = (name: string, choices: readonly string[], otherwise: string): string => {
    const value = parameters.get(name) ?? otherwise;
    if (choices.includes(value)) return value;
    throw new Error(`${name} in the address must be ${choices.filter(Boolean).join(" or ")}, got "${value}"`);
  };
  const quick = choice("quick", ["yes", "no"], "yes") === "yes";
  const tune = choice("tune", ["yes", "no"], "no") === "yes";
  const dtype = choice("dtype", ["", "float32", "float16"], "") as FloatType | "";
  const asked: Asked = { quick, tune, filter: parameters.get("filter") ?? "", ...(dtype && { dtype }) };
  return { asked, run: parameters.has("run") };
}
