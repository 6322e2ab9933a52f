// Draws with the embedded model: load once, then one call for each picture. In a clone `npm run demo` serves this page.
// With a bundler, or an import map: from "webgpu-diffusers". On a CDN: see docs/environments.md.
import * as diffusers from "../../dist/bundle/browser/webgpu-diffusers.js";

const SCHEDULERS = [
  "DDIMScheduler",
  "DPMSolverMultistepScheduler",
  "EulerDiscreteScheduler",
  "EulerAncestralDiscreteScheduler",
  "HeunDiscreteScheduler",
  "LMSDiscreteScheduler", // wants 50 steps with this model, and so does the next one
  "PNDMScheduler",
];

const form = document.getElementById("form");
const drawButton = document.getElementById("draw");
const cancelButton = document.getElementById("cancel");
const status = document.getElementById("status");
const canvas = document.getElementById("canvas");

for (const name of SCHEDULERS) if (name in diffusers) form.elements.scheduler.add(new Option(name));

let controller = new AbortController();
cancelButton.addEventListener("click", () => controller.abort());

let pipeline;

/** Runs one piece of work with the buttons set for it, and shows how it ended. */
async function run(work) {
  controller = new AbortController();
  drawButton.disabled = true;
  cancelButton.disabled = false;
  try {
    await withRecovery(work, controller.signal);
  } catch (error) {
    status.textContent = controller.signal.aborted ? "Cancelled." : failure(error);
    if (!controller.signal.aborted) console.error(error);
  } finally {
    drawButton.disabled = false;
    cancelButton.disabled = true;
  }
}

/** Where the browser loses the GPU (its driver may fail), the models are loaded again, and the work is done once more. */
async function withRecovery(work, signal) {
  try {
    await work(signal);
  } catch (error) {
    if (!(error instanceof diffusers.DeviceLostError)) throw error;
    console.warn(error);
    status.textContent = "The browser has lost the GPU. Starting again …";
    await pipeline?.recover({ signal });
    await work(signal);
  }
}

/** What helps a visitor; the library's messages are for who calls it. */
function failure(error) {
  if (error instanceof diffusers.DeviceLostError)
    return "The browser has lost the GPU again. Please wait a little and press Draw, or reload the page.";
  if (error instanceof diffusers.NoAdapterError && pipeline)
    return "The browser gives this page no GPU any more. Please reload the page; if that does not help, restart the browser.";
  return `Failed: ${error.message ?? error}`;
}

async function load(signal) {
  if (!navigator.gpu) throw new Error("this browser has no WebGPU, or the page is not served from https or localhost");
  status.textContent = "Loading the model …";
  const loaded = await diffusers.DiffusionPipeline.fromPretrained(diffusers.EMBEDDED_MODEL, { signal });
  pipeline = await loaded.to("webgpu");
  status.textContent = "Ready.";
}

async function draw(signal) {
  if (!pipeline) await load(signal); // the first load failed or was cancelled
  const { prompt, seed, steps, guidance, scheduler } = Object.fromEntries(new FormData(form));
  pipeline.scheduler = diffusers[scheduler].fromConfig(pipeline.scheduler.config);

  const start = performance.now();
  status.textContent = "Drawing …";
  const { images } = await pipeline(prompt, {
    numInferenceSteps: Number(steps),
    guidanceScale: Number(guidance),
    generator: new diffusers.Generator("cpu").manualSeed(Number(seed)),
    callbackOnStepEnd: (_pipeline, step) => {
      status.textContent = `Step ${step + 1} of ${steps} …`;
      return {};
    },
    signal,
  });
  const picture = images[0].toImageData();
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  canvas.setAttribute("aria-label", prompt);
  status.textContent = `Drawn in ${((performance.now() - start) / 1000).toFixed(1)} s.`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(draw);
});
run(load);
