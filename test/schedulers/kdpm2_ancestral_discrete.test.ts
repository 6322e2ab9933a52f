import { expect, test } from "vitest";
import { KDPM2AncestralDiscreteScheduler } from "../../src/schedulers/index.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { testDevice } from "../support/gpu.js";
import { testTrajectories } from "../support/trajectories.js";

testTrajectories("kdpm2-ancestral", 24);

test("begun at the second half of a step it steps as Python's, whose tables go by the call", async () => {
  const device = await testDevice();
  const scheduler = new KDPM2AncestralDiscreteScheduler();
  scheduler.setTimesteps(3);
  scheduler.setBeginIndex(1);
  const line = (from: number, to: number): Tensor =>
    Tensor.from(
      Array.from({ length: 8 }, (_, i) => from + ((to - from) * i) / 7),
      [1, 1, 2, 4],
      { device },
    );
  const generator = new Generator().manualSeed(8);
  const output = line(2, -1);
  let x = line(-1, 1);
  // diffusers 0.42.1
  for (const [i, wanted] of [
    [-5.502361, -4.251854, -3.001349, -1.750843, -0.500337, 0.750169, 2.000674, 3.25118],
    [-5.552041, -4.334217, -3.019589, -1.759215, -0.527211, 0.735012, 2.012955, 3.276934],
    [-5.610375, -4.380052, -3.052924, -1.780049, -0.535545, 0.739179, 2.029622, 3.306101],
  ].entries()) {
    const { prevSample, predOriginalSample } = scheduler.step(output, scheduler.timesteps[i + 1], x, { generator });
    for (const tensor of [x, predOriginalSample]) tensor?.dispose();
    x = prevSample;
    (await x.data()).forEach((got, j) => expect(Math.abs(got - wanted[j])).toBeLessThan(2e-5));
  }
  for (const tensor of [x, output]) tensor.dispose();
  scheduler.reset();
});
