import { describe, expect, test } from "vitest";
import { PriorTransformer, StableUnCLIPImageNormalizer, Tensor } from "../../src/index.js";
import { testDevice } from "../support/gpu.js";
import { madeRepository } from "../support/made_weights.js";
import { differences } from "../support/pipelines.js";
import { ramp } from "../support/sdxl_pictures.js";
import { UNCLIP, unclipRepository, WIDTH } from "../support/unclip.js";

/** Of the standard deviation. */
const TOLERANCE = { float32: 1e-4, float16: 2e-2 };

const deviation = (values: readonly number[]): number => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
};

describe("PriorTransformer", () => {
  for (const [i, { config, shape, output, processed }] of UNCLIP.priors.entries())
    for (const dtype of i === 0 ? (["float32", "float16"] as const) : (["float32"] as const))
      test(`${JSON.stringify(config)} in ${dtype}, as diffusers`, async () => {
        await testDevice();
        const repository = madeRepository("prior", config, new PriorTransformer(config));
        const prior = await PriorTransformer.fromPretrained(repository, { dtype });
        const mask = Float32Array.from({ length: 154 }, (_, at) => (at < 77 + 9 ? 1 : 0));
        const seen = prior.encoder_hidden_states_proj && {
          encoderHiddenStates: ramp(-1, 1, [2, 77, WIDTH]),
          attentionMask: Tensor.from(mask, [2, 77]),
        };
        const x = ramp(-1, 1, [2, WIDTH]);
        const values = await x.data();
        const texts = Tensor.from(Float32Array.from([...values.slice(WIDTH), ...values.slice(0, WIDTH)]), [2, WIDTH]);
        const { predictedImageEmbedding: result } = prior.forward(x, 7, texts, seen ?? {});
        expect(result.shape).toEqual(shape);
        const bound = TOLERANCE[dtype];
        expect(differences(await result.data(), output).worst).toBeLessThan(bound * deviation(output));
        if (shape.length === 2) {
          const after = prior.postProcessLatents(result);
          expect(differences(await after.data(), processed).worst).toBeLessThan(bound * deviation(processed));
          after.dispose();
        }
        for (const each of [x, texts, result, prior, ...Object.values(seen ?? {})]) each.dispose();
      });

  test("refuses what does not go together", async () => {
    await testDevice();
    const { config } = UNCLIP.priors[0];
    const prior = await PriorTransformer.fromPretrained(madeRepository("prior", config, new PriorTransformer(config)));
    const [x, few] = [ramp(-1, 1, [1, WIDTH]), ramp(-1, 1, [1, 76, WIDTH])];
    expect(() => prior.forward(x, 7, x)).toThrow("`encoderHiddenStates` must be given");
    expect(() => prior.forward(x, 7, x, { encoderHiddenStates: few })).toThrow(
      `\`encoderHiddenStates\` must be [1, 77, ${WIDTH}], got [1, 76, ${WIDTH}]`,
    );
    expect(() => prior.forward(few, 7, x)).toThrow(`\`hiddenStates\` must be [batch, ${WIDTH}]`);
    expect(() => prior.forward(x, NaN, x)).toThrow("timestep must be finite");
    expect(() => new PriorTransformer({ added_emb_type: "other" })).toThrow(
      'added_emb_type = "other" is not supported',
    );
    const odd = new PriorTransformer({ ...config, additional_embeddings: 3 });
    expect(() => odd.embedTexts(x, { encoderHiddenStates: ramp(-1, 1, [1, 77, WIDTH]) })).toThrow(
      "num_embeddings + additional_embeddings = 80 must be the 81 tokens that there are",
    );
    for (const each of [x, few, prior]) each.dispose();
  });
});

test("StableUnCLIPImageNormalizer moves embeddings there and back", async () => {
  await testDevice();
  const { mean, std } = UNCLIP.normalizer;
  const repository = await unclipRepository("img2img");
  const model = await StableUnCLIPImageNormalizer.fromPretrained(repository, { subfolder: "image_normalizer" });
  const x = ramp(-1, 1, [3, WIDTH]);
  const values = await x.data();
  const scaled = model.scale(x);
  const wanted = Array.from(values, (value, i) => (value - mean[i % WIDTH]) / std[i % WIDTH]);
  expect(differences(await scaled.data(), wanted).worst).toBeLessThan(1e-6);
  const back = model.unscale(scaled);
  expect(differences(await back.data(), Array.from(values)).worst).toBeLessThan(1e-6);
  const wrong = ramp(-1, 1, [3, WIDTH + 1]);
  expect(() => model.scale(wrong)).toThrow(`embeds must be [batch, ${WIDTH}], got [3, ${WIDTH + 1}]`);
  for (const each of [x, scaled, back, wrong, model]) each.dispose();
});
