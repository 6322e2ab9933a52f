/** The command `npm run bench` of this folder: arguments, files, and the terminal. */
import { appendFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { reportError } from "../../src/cli/errors.js";
import { checkWritable } from "../../src/cli/output.js";
import type { PeerResult, RunInfo } from "../results.js";
import { runText } from "../table.js";
import { peerArguments } from "./arguments.js";
import { complaints, meanLines, peerHead, peerRow } from "./peer_table.js";
import { OURS } from "./ratios.js";

/** What a run needs to know, and what the place where it ran says at the start. */
export interface Given {
  quick: boolean;
  filter: string;
  only?: string[];
  tinygrad?: string;
  /** The repository's folder. */
  root: string;
  /** By npm package; "webgpu-diffusers" is ours. */
  versions: Record<string, string>;
}
export interface Begun {
  adapter: { vendor: string; architecture: string; device: string; description: string; software: boolean };
  features: string[];
  /** Versions by name. */
  libraries: Record<string, string>;
  /** Reasons by name. */
  missing: Record<string, string>;
  browser?: string;
}
export type Place = (given: Given, begin: (begun: Begun) => void, emit: (result: PeerResult) => void) => Promise<void>;

const PACKAGES = ["onnxruntime-web", "@jax-js/jax", "@tensorflow/tfjs-backend-webgpu"];

/** Runs the command and sets the exit code. @param root the repository's folder */
export async function main(args: string[], root: string, places: Record<"node" | "chrome", Place>): Promise<void> {
  try {
    const { where, json, ...given } = peerArguments(args);
    if (json !== undefined) await checkWritable([json]);
    await bench(places[where], { ...given, root, versions: await readVersions(root) }, json);
  } catch (error) {
    process.exitCode = reportError(error, false);
  }
}

async function bench(place: Place, given: Given, json: string | undefined): Promise<void> {
  const loadAverage = os.loadavg()[0];
  const results: PeerResult[] = [];
  let run: RunInfo | undefined;
  let libraries: string[] = [];
  await place(
    given,
    (begun) => {
      libraries = [...Object.keys(begun.libraries), ...Object.keys(begun.missing)];
      run = runInfo(begun, given, loadAverage);
      console.log(runText(run).join("\n"));
      console.log(libraries.map((name) => `${name} ${begun.libraries[name] ?? "missing"}`).join(", "));
      for (const [name, why] of Object.entries(begun.missing)) console.log(`${name} does not run here: ${why}`);
      console.log(`\n${peerHead(libraries)}`);
    },
    (result) => {
      results.push(result);
      console.log(peerRow(result, libraries));
      for (const line of complaints(result).filter((text) => !/ failed: $/.test(text))) console.log(line);
      // At once: what was measured was measured, also in a run that breaks off.
      if (json !== undefined) appendFileSync(json, `${JSON.stringify({ ...result, run })}\n`);
    },
  );
  if (results.some(({ cutFrom }) => cutFrom)) console.log("\n* smaller than in Stable Diffusion 1.5, for this adapter");
  console.log(`\n${meanLines(results).join("\n")}`);
  const wrong = results.filter(({ ways }) => ways.some(({ library, status }) => library === OURS && status !== "ok"));
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${results.length} ops of this library are wrong or failed`);
}

function runInfo(begun: Begun, { quick, versions }: Given, loadAverage: number): RunInfo {
  const { description, device, vendor, architecture, software } = begun.adapter;
  const { [OURS]: _ours, ...peers } = begun.libraries;
  return {
    date: new Date().toISOString(),
    version: versions["webgpu-diffusers"],
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu: `${os.cpus().length} x ${os.cpus()[0]?.model.trim()}`,
    loadAverage,
    quick,
    clock: "waits",
    peers,
    browser: begun.browser,
    adapter: device || description || architecture || "unknown",
    vendor,
    architecture,
    driver: description,
    software,
    features: begun.features,
  };
}

async function readVersions(root: string): Promise<Record<string, string>> {
  const version = async (folder: string): Promise<string> => {
    const file = path.join(folder, "package.json");
    return (JSON.parse(await readFile(file, "utf8")) as { version: string }).version;
  };
  const modules = path.join(root, "bench", "peers", "node_modules");
  const entries = PACKAGES.map(async (name) => [name, await version(path.join(modules, name))] as const);
  const [own, ...others] = await Promise.all([version(root), ...entries]);
  return { "webgpu-diffusers": own, ...Object.fromEntries(others) };
}
