/** What tests of all schedulers need to know of some. */
import { schedulerNames, type StepOptions } from "../../src/schedulers/index.js";
import { Tensor } from "../../src/tensor/tensor.js";

/** Those whose `step` takes a timestep, as pipelines call it: all but Karras-Ve's, which goes from level to level. */
export const timestepSchedulers = (): string[] => schedulerNames().filter((name) => name !== "KarrasVeScheduler");

/** Options that the step of a class cannot do without; `dispose` frees them. */
export function neededOptions(name: string, { device, shape }: Tensor): { options: StepOptions; dispose(): void } {
  if (name !== "RePaintScheduler") return { options: {}, dispose: () => undefined };
  const size = shape.reduce((a, b) => a * b, 1);
  const plane = [shape[0], 1, ...shape.slice(2)];
  const image = Float32Array.from({ length: size }, (_, i) => (i % 4) / 4 - 0.5);
  const mask = Float32Array.from({ length: size / shape[1] }, (_, i) => (i % 2) / 2 + 0.25);
  const options = {
    originalImage: Tensor.from(image, shape, { device }),
    mask: Tensor.from(mask, plane, { device }),
  };
  return { options, dispose: () => Object.values(options).forEach((tensor) => tensor.dispose()) };
}
