/** The suite in a page: a form, or parameters in its address, and tables that grow. In headless Chrome, Node listens. */
import type { Timer } from "../harness.js";
import { reportBody, reportPage } from "../report.js";
import type { Line, RunInfo } from "../results.js";
import { runSuite } from "../run.js";
import { deviceInfo } from "../run_info.js";
import { endOf, tell } from "./messages.js";
import { dtypesOf, readParameters, writeParameters, type Asked } from "./parameters.js";

const find = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;
const form = find<HTMLFormElement>("form");
const buttons = ["start", "stop", "json", "html"] as const;
const [start, stop, json, html] = buttons.map((id) => find<HTMLButtonElement>(id));
const [status, results] = [find("status"), find("results")];
const { quick, tune, dtype, filter } = form.elements as unknown as {
  quick: HTMLInputElement;
  tune: HTMLInputElement;
  dtype: HTMLSelectElement;
  filter: HTMLInputElement;
};

/** Of the last run. */
let lines: Line[] = [];
let controller = new AbortController();

async function run(asked: Asked): Promise<void> {
  lines = [];
  results.replaceChildren();
  const { version } = (await (await fetch("../package.json")).json()) as { version: string };
  const { gpu } = navigator;
  if (!gpu) throw new Error("this browser has no WebGPU, or not on this page: it must be https:// or http://localhost");
  let info: RunInfo | undefined;
  await runSuite({
    ...asked,
    dtypes: dtypesOf(asked),
    signal: controller.signal,
    model: new URL("../models/shapes/", location.href).href,
    adapter: () => anAdapter(gpu),
    begin(timer) {
      info = runInfo(timer, version, asked);
      tell({ type: "begin", run: info });
    },
    emit(result) {
      lines.push({ ...result, run: info! });
      tell({ type: "result", result });
      status.textContent = `Running … ${lines.length} results`;
      // From numbers and texts of this page, escaped as in the report.
      results.innerHTML = reportBody(lines);
    },
  });
}

async function anAdapter(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("this browser has WebGPU but gives no adapter; chrome://gpu shows why");
  return adapter;
}

const runInfo = (timer: Timer, version: string, asked: Asked): RunInfo => ({
  date: new Date().toISOString(),
  version,
  browser: browserName(navigator.userAgent),
  platform: navigator.platform,
  cpu: `${navigator.hardwareConcurrency} logical processors`,
  ...deviceInfo(timer, asked),
});

const browserName = (agent: string): string =>
  /(?:Firefox|Edg|Chrome)\/[\d.]+|Version\/[\d.]+ .*Safari/.exec(agent)?.[0] ?? agent;

/** Runs, with the buttons set for it, and says how it ended. */
async function runAndTell(asked: Asked): Promise<void> {
  controller = new AbortController();
  const { signal } = controller;
  const disable = (running: boolean): void => {
    start.disabled = running;
    stop.disabled = !running;
    json.disabled = html.disabled = running || lines.length === 0;
  };
  disable(true);
  status.textContent = "Running …";
  const end = await endOf(run(asked));
  const wrong = lines.filter((line) => line.kind === "op" && (line.status === "wrong" || line.status === "failed"));
  const done = wrong.length > 0 ? `Done; ${wrong.length} ops are wrong or failed.` : "Done; every result was right.";
  status.textContent = signal.aborted ? "Stopped." : end.error === undefined ? done : `Failed: ${end.error}`;
  disable(false);
  tell(end);
}

function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

const askedNow = (): Asked => ({
  quick: quick.checked,
  tune: tune.checked,
  filter: filter.value,
  ...(dtype.value && { dtype: dtype.value as Asked["dtype"] }),
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = askedNow();
  history.replaceState(null, "", writeParameters(asked, false)); // an address to give to others
  void runAndTell(asked);
});
stop.addEventListener("click", () => controller.abort());
json.addEventListener("click", () => {
  save("webgpu-diffusers.jsonl", "application/jsonl", lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
});
html.addEventListener("click", () => save("webgpu-diffusers.html", "text/html", reportPage(lines)));

async function open(): Promise<void> {
  const { asked, run: atOnce } = readParameters(location.search);
  quick.checked = asked.quick;
  tune.checked = asked.tune;
  dtype.value = asked.dtype ?? "";
  filter.value = asked.filter;
  start.disabled = false;
  status.textContent = "Ready.";
  if (atOnce) await runAndTell(asked);
}

open().catch((error: Error) => (status.textContent = error.message));
