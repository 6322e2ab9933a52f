// Draws with the embedded model: load once, then one call for each picture. `npm run demo` serves this page.
import * as diffusers from "webgpu-diffusers";

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

/** Runs one piece of work with the buttons set for it, and shows how it ended. */
async function run(work) {
  controller = new AbortController();
  drawButton.disabled = true;
  cancelButton.disabled = false;
  try {
    await work(controller.signal);
  } catch (error) {
    status.textContent = controller.signal.aborted ? "Cancelled." : `Failed: ${error.message ?? error}`;
    if (!controller.signal.aborted) console.error(error);
  } finally {
    drawButton.disabled = false;
    cancelButton.disabled = true;
  }
}

let pipeline;

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
