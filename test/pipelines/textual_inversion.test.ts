import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPTokenizer,
  DDIMScheduler,
  Generator,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
} from "../../src/index.js";
import { withAllVectors } from "../../src/pipelines/adapters/multi_vector.js";
import { fixturePath, fixtureRepository } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { relativeError } from "../support/models.js";
import { camelCase } from "../support/pipelines.js";
import { act, readTextualInversionGoldens, type Step } from "../support/textual_inversion.js";
import { warnings } from "../support/warnings.js";

const { tokenised, runs, refused } = await readTextualInversionGoldens();

describe("added tokens, as transformers finds them", () => {
  for (const { added, count, length, encoder, cases } of tokenised)
    test(JSON.stringify(added), async () => {
      const tokenizer = await CLIPTokenizer.fromPretrained(fixtureRepository("models/repos/sd15/tokenizer"));
      expect(tokenizer.addTokens(added)).toBe(count);
      expect(tokenizer.length).toBe(length);
      expect(Object.fromEntries(tokenizer.addedTokensEncoder)).toEqual(encoder);
      for (const { text, ids, tokens, converted } of cases) {
        expect({ text, tokens: tokenizer.tokenize(text) }).toEqual({ text, tokens });
        expect(tokenizer.encode(text)).toEqual(ids);
        expect(withAllVectors(text, tokenizer)).toBe(converted);
      }
      expect(cases).toHaveLength(24);
    });
});

describe("textual inversion, as diffusers draws with it", () => {
  const pipelines = {} as Record<"sd15" | "sdxl", StableDiffusionPipeline | StableDiffusionXLPipeline>;
  beforeAll(async () => {
    await testDevice();
    for (const [model, Class] of [
      ["sd15", StableDiffusionPipeline],
      ["sdxl", StableDiffusionXLPipeline],
    ] as const) {
      const pipeline = await Class.fromPretrained(fixturePath(`models/repos/${model}`));
      pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
      pipeline.setProgressBarConfig({ disable: true });
      pipelines[model] = pipeline;
    }
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  const parts = (pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline) => {
    const { text_encoder, text_encoder_2, tokenizer, tokenizer_2 } = pipeline as StableDiffusionXLPipeline;
    const first = { textEncoder: text_encoder, tokenizer };
    return pipeline instanceof StableDiffusionXLPipeline
      ? [first, { textEncoder: text_encoder_2, tokenizer: tokenizer_2 }]
      : [first];
  };

  /** The next test begins with the model's own words. */
  const tidy = async (pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline): Promise<void> => {
    for (const part of parts(pipeline)) {
      await pipeline.unloadTextualInversion(null, part);
      expect(part.textEncoder.config.vocab_size).toBe(2514);
      expect(part.tokenizer.length).toBe(2514);
    }
  };

  const nameOf = (steps: readonly Step[]): string =>
    steps
      .map((step) =>
        "load" in step
          ? `${step.load.map(({ key, shape }) => `${key ?? "a tensor"} [${shape.join(", ")}]`).join(" + ")}${step.token ? ` for ${String(step.token)}` : ""}`
          : `without ${step.unload?.join(", ") ?? "any"}`,
      )
      .join(", ");

  for (const run of runs)
    test(`${run.model}: ${nameOf(run.steps)}: ${run.call.prompt}`, async () => {
      const pipeline = pipelines[run.model];
      // Of "<Dog>", which is in no prompt as it is looked through.
      const seen = await warnings(async () => {
        for (const step of run.steps) await act(pipeline, step);
      });
      const warning =
        'StableDiffusionPipeline.loadTextualInversion: only the first vector of "<Dog>" counts, as in diffusers, because prompts are ' +
        'looked through in lower case; give another name: { token: "<dog>" }';
      expect(seen).toEqual(run.call.prompt.includes("<Dog>") ? [warning] : []);
      const { prompt, ...call } = run.call;
      parts(pipeline).forEach(({ tokenizer, textEncoder }, i) => {
        expect(Object.fromEntries(tokenizer.addedTokensEncoder)).toEqual(run.tokens[i]);
        expect(textEncoder.config.vocab_size).toBe(run.rows[i]);
        expect(textEncoder.text_model.embeddings.token_embedding.weight.shape[0]).toBe(run.rows[i]);
        const texts = Object.values(run.call);
        expect(pipeline.maybeConvertPrompt(texts, tokenizer)).toEqual(run.converted[i]);
      });
      const { lastHiddenState, ...rest } = await pipeline.text_encoder.forward(run.ids);
      const golden = { shape: lastHiddenState.shape, data: Float32Array.from(run.states) };
      expect(relativeError(await lastHiddenState.data(), golden as never)).toBeLessThan(1e-4);
      for (const tensor of [lastHiddenState, ...Object.values(rest).flat()]) tensor.dispose();
      const options = Object.entries(call).map(([name, value]) => [camelCase(name), value] as const);
      const { images } = await pipeline(prompt, {
        ...Object.fromEntries(options.map(([name, value]) => [name.replace(/_2$/, "2"), value])),
        ...{ numInferenceSteps: 3, height: 32, width: 48, outputType: "latent" },
        generator: new Generator("cpu").manualSeed(8),
      });
      expect(images.shape).toEqual(run.shape);
      const values = await images.data();
      images.dispose();
      expect(Math.max(...values.map((value, i) => Math.abs(value - run.latents[i])))).toBeLessThan(1e-3);
      await tidy(pipeline);
    });

  // In the order of scripts/make_textual_inversion.py.
  const MESSAGES = [
    'a tensor does not say which token it is for; give it: { token: "<name>" }',
    'token "<cat>" already in tokenizer vocabulary; give another one ({ token }), or take it away: unloadTextualInversion("<cat>")',
    'token "<cat>_1" already in tokenizer vocabulary',
    'token "<x>_1" already in tokenizer vocabulary',
    'token "cat</w>" already in tokenizer vocabulary',
    'the embedding of "<x>" has 33 numbers, and the text encoder takes 32; it was learned for another one',
    'the embedding of "<x>" has 48 numbers, and the text encoder takes 32',
    "there are 2 embeddings and 1 tokens; give a token for each",
    "there are 2 embeddings and 1 tokens; give a token for each",
    'there are two embeddings for the token "<x>"; give another one: { token }',
    "the tensor has 2 embeddings, and there are 3 tokens",
    "the tensor must be [width] or [vectors, width], got [0, 32]",
    'no tokens to remove found: "<x>" not among the added ones, of which there are none',
    'no tokens to remove found: "<CAT>" not among <cat>',
  ];
  refused.forEach(({ steps, error }, i) =>
    test(`refused: ${nameOf(steps)} (diffusers: ${error.slice(0, 60)})`, async () => {
      const pipeline = pipelines.sd15;
      for (const step of steps.slice(0, -1)) await act(pipeline, step);
      const before = [pipeline.tokenizer.length, pipeline.text_encoder.config.vocab_size];
      const method = "load" in steps[steps.length - 1] ? "load" : "unload";
      await expect(act(pipeline, steps[steps.length - 1])).rejects.toThrow(
        `StableDiffusionPipeline.${method}TextualInversion: ${MESSAGES[i]}`,
      );
      expect([pipeline.tokenizer.length, pipeline.text_encoder.config.vocab_size]).toEqual(before);
      await tidy(pipeline);
    }),
  );
  test("every refusal of diffusers has its words here", () => expect(refused).toHaveLength(MESSAGES.length));
});
