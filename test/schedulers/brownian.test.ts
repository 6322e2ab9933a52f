import { expect, test } from "vitest";
import { brownianNoise, BrownianTree } from "../../src/schedulers/brownian.js";
import { generateState } from "../../src/schedulers/seed_sequence.js";
import { readFixtureJSON } from "../support/files.js";
import { floats, readGolden } from "../support/goldens.js";
import { prepare, type Trajectory } from "../support/trajectories.js";

test("seeds are numpy's (SeedSequence of numpy 2.4)", () => {
  expect(generateState(0, [], 3, 24)).toEqual([4025752534, 2687548107, 2326983537]);
  expect(generateState(42, [1, 3], 4, 24)).toEqual([3184674634, 90956186, 1544271463, 1082392491]);
});

test("Brownian noise is torchsde's", async () => {
  const path = "schedulers/trajectories/dpm-sde";
  const { cases } = await readFixtureJSON<{ cases: Trajectory[] }>(`${path}.json`);
  const goldens = await readGolden(`${path}.safetensors`);
  const f32 = Math.fround;
  const [timeOf, sigmaOf] = [(sigma: number) => f32(-Math.log(sigma)), (t: number) => f32(Math.exp(-t))];
  const stored = cases.filter(({ id }) => goldens.has(`${id}/noise`));
  expect(stored).toHaveLength(3);
  for (const trajectory of stored) {
    const sigmas = (prepare(trajectory).sigmas ?? []).filter((sigma) => sigma > 0);
    const { shape, config } = trajectory;
    const noise = brownianNoise(shape, [Math.min(...sigmas), Math.max(...sigmas)], config.noise_sampler_seed as number);
    const wanted = floats(goldens, `${trajectory.id}/noise`);
    const size = shape.reduce((a, b) => a * b, 1);
    for (let k = 0; k * size < wanted.length; k++) {
      const i = 2 * Math.floor(k / 2);
      const [t, next] = [timeOf(sigmas[i]), timeOf(sigmas[i + 1])];
      const half = f32(t + f32(f32(next - t) * 0.5));
      const got = noise(sigmaOf(t), sigmaOf(k % 2 === 0 ? half : next));
      const worst = got.reduce((most, value, j) => Math.max(most, Math.abs(value - wanted[k * size + j])), 0);
      expect(worst).toBeLessThan(5e-6);
    }
  }
});

test("increments add up, whatever the order in which they are asked for", () => {
  const [forward, backward] = [0, 1].map(() => new BrownianTree([64], 0.03, 14.6, 7));
  const parts = [forward.increment(0.03, 2), forward.increment(2, 9.5), forward.increment(9.5, 14.6)];
  const whole = backward.increment(0.03, 14.6);
  const last = backward.increment(9.5, 14.6);
  whole.forEach((value, i) =>
    expect(Math.abs(parts.reduce((sum, part) => sum + part[i], 0) - value)).toBeLessThan(1e-5),
  );
  expect(last).toEqual(parts[2]);
});

test("a list of seeds gives each sample a path of its own", () => {
  const both = brownianNoise([2, 8], [0.1, 10], [3, 4])(5, 1);
  expect(both.slice(8)).toEqual(brownianNoise([8], [0.1, 10], 4)(5, 1));
  expect(() => brownianNoise([2, 8], [0.1, 10], [3])).toThrow(/per sample, 2, got 1/);
});
