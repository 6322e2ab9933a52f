import { beforeAll, describe, expect, test } from "vitest";
import { AddedTokens } from "../../src/loader/tokenizer/clip_text.js";
import { CLIPTokenizer, type CLIPTokenizerOptions } from "../../src/loader/tokenizer/clip_tokenizer.js";
import { EMBEDDED_MODEL } from "../../src/loader/embedded.js";
import type { Repository } from "../../src/loader/repository.js";
import { fixtureRepository, readFixture, readFixtureJSON } from "../support/files.js";
import { memoryFile } from "../support/goldens.js";
import { expectWithin } from "../support/timing.js";
import { warnings } from "../support/warnings.js";

interface Gold {
  bos: number;
  eos: number;
  pad: number;
  model_max_length: number;
  cases: { text: string; ids: number[]; ids77?: number[] }[];
  lone_surrogates: { text: string; openai: number[] }[];
  decode: { ids: number[]; decode: string; decode_skip_special: string }[];
}

/** transformers 5.23.0's answers. */
for (const [name, folder] of [
  ["real", "clip-vocab"],
  ["tiny", "models/tokenizer/vocab-2000"],
]) {
  describe(`the ${name} vocabulary`, () => {
    let tokenizer: CLIPTokenizer;
    let gold: Gold;
    beforeAll(async () => {
      tokenizer = await CLIPTokenizer.fromPretrained(fixtureRepository(folder));
      gold = await readFixtureJSON<Gold>(`models/tokenizer/${name}-vocab.json`);
    });

    test("knows its special tokens", () => {
      expect([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.padTokenId]).toEqual([
        gold.bos,
        gold.eos,
        gold.pad,
      ]);
      expect(tokenizer.modelMaxLength).toBe(77);
    });

    test("encodes 324 texts as transformers does", () => {
      const wrong = gold.cases.filter(({ text, ids }) => String(tokenizer.encode(text)) !== String(ids));
      expect(wrong.map(({ text, ids }) => ({ text, ids, got: tokenizer.encode(text) }))).toEqual([]);
      expect(gold.cases).toHaveLength(324);
    });

    test("cuts and pads to 77", () => {
      const { inputIds } = tokenizer(
        gold.cases.map(({ text }) => text),
        { padding: "max_length", truncation: true },
      );
      gold.cases.forEach(({ ids, ids77 }, i) => {
        const cut = ids.length <= 77 ? ids : [...ids.slice(0, 76), gold.eos];
        const wanted = ids77 ?? [...cut, ...new Array<number>(77 - cut.length).fill(gold.pad)];
        expect(String(inputIds[i])).toBe(String(wanted));
      });
    });

    test("decodes as transformers does", () => {
      for (const { ids, decode, decode_skip_special } of gold.decode) {
        expect(tokenizer.decode(ids)).toBe(decode);
        expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(decode_skip_special);
      }
    });

    // Found by comparing 6,000 random texts with transformers 5.23.0.
    test("symbols before and behind a special token in capitals", () => {
      const words = (text: string): string => tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true });
      expect(words("<|ENDOFTEXT|>!!")).toBe("<| endoftext |> !!");
      expect(words("></w><|ENDOFTEXT|>")).toBe("></ w ><| endoftext |>");
      expect(words("a\u001c")).toBe("a");
      expect(words("\ufeffa")).toBe("\ufeff a");
    });

    // transformers 5 raises a TypeError; older ones with ftfy, and OpenAI's code, read U+FFFD.
    test("takes half a surrogate pair for U+FFFD", () => {
      for (const { text, openai } of gold.lone_surrogates) expect(tokenizer.encode(text)).toEqual(openai);
    });
  });
}

describe("calling", () => {
  let tokenizer: CLIPTokenizer;
  beforeAll(async () => {
    tokenizer = await CLIPTokenizer.fromPretrained(fixtureRepository("clip-vocab"));
  });

  test("takes one text or several, cuts only when told, pads to the longest", () => {
    expect(tokenizer("a cat").inputIds).toEqual([[49406, 320, 2368, 49407]]);
    expect(tokenizer(["cat", ""], { padding: true }).inputIds).toEqual([
      [49406, 2368, 49407],
      [49406, 49407, 49407],
    ]);
    expect(tokenizer("a photo of a cat", { truncation: true, maxLength: 4 }).inputIds).toEqual([
      [49406, 320, 1125, 49407],
    ]);
    expect(tokenizer("cat ".repeat(100)).inputIds[0]).toHaveLength(102);
    expect(tokenizer([]).inputIds).toEqual([]);
    expect(tokenizer(["cat", ""], { padding: true }).attentionMask).toEqual([
      [1, 1, 1],
      [1, 1, 0],
    ]);
    expect(tokenizer).toBeInstanceOf(CLIPTokenizer);
  });

  test("refuses what it cannot do", () => {
    expect(() => tokenizer("a", { maxLength: 1 })).toThrow(/maxLength.*from 2.*got 1/);
    expect(() => tokenizer.encode("a".repeat(1_000_001))).toThrow(/1000001 characters, more than 1000000/);
    expect(() => tokenizer.encode(undefined as unknown as string)).toThrow(/expected a text, got undefined/);
    expect(() => tokenizer.decode([99999])).toThrow(/no token 99999/);
  });

  // All numbers as transformers 5.24.0 gives them.
  test("options are looked at, in either spelling", async () => {
    const lengths = (options: object | null): number[] =>
      tokenizer(["a photo of a cat", "a"], options as CLIPTokenizerOptions).inputIds.map(({ length }) => length);
    const seen = await warnings(() => {
      expect(lengths({ padding: "max_length", max_length: 20 })).toEqual([20, 20]);
      expect(lengths({ padding: "longest", truncation: true, max_length: 4 })).toEqual([4, 4]);
      for (const padding of [false, "do_not_pad", undefined]) expect(lengths({ padding })).toEqual([7, 3]);
      for (const truncation of ["only_first", "longest_first", true])
        expect(lengths({ truncation, maxLength: 4 })).toEqual([4, 3]);
      for (const truncation of ["do_not_truncate", false])
        expect(lengths({ truncation, maxLength: 4 })).toEqual([7, 3]);
      expect(lengths({ padding: "max_length", truncation: null, max_length: null })).toEqual([77, 77]);
      expect(lengths(null)).toEqual([7, 3]);
      expect(tokenizer.decode([320, 49407], { skip_special_tokens: true } as object)).toBe("a");
    });
    expect(seen).toEqual([]);
    expect(() => tokenizer("a", { max_length: 20, maxLength: 20 } as CLIPTokenizerOptions)).toThrow(
      "CLIPTokenizer: got both `maxLength` and `max_length`, which are one option",
    );
  });

  test("a length alone cuts, as in Python, with a warning; with padding it does not", async () => {
    const seen = await warnings(() => {
      expect(tokenizer("a photo of a cat", { maxLength: 4 }).inputIds).toEqual([[49406, 320, 1125, 49407]]);
      expect(tokenizer("a photo of a cat", { maxLength: 4, padding: true }).inputIds[0]).toHaveLength(7);
    });
    expect(seen).toEqual([
      "CLIPTokenizer: `maxLength` is given without `truncation`, so texts are cut to it; say `truncation: true`, or false to keep them whole",
    ]);
  });

  test("refuses other values, and warns of options that it does not have", async () => {
    const call = (options: unknown) => () => tokenizer("a", options as CLIPTokenizerOptions);
    for (const [wrong, text] of [
      ["max-length", '"max-length"'],
      [null, "null"],
      [1, "1"],
    ])
      expect(call({ padding: wrong })).toThrow(
        new RangeError(
          `CLIPTokenizer: \`padding\` must be one of true, false, "longest", "max_length", "do_not_pad", got ${text}`,
        ),
      );
    expect(call({ truncation: "only_second" })).toThrow(
      'CLIPTokenizer: `truncation` must be one of true, false, "longest_first", "only_first", "do_not_truncate", got "only',
    );
    expect(call("max_length")).toThrow(
      'CLIPTokenizer: options must be an object, got "max_length" (there are padding, truncation, maxLength)',
    );
    const seen = await warnings(() => {
      call({ return_tensors: "pt", addSpecialTokens: undefined })();
      tokenizer.decode([320], { cleanUp: true } as object);
    });
    expect(seen).toEqual([
      "CLIPTokenizer: options that it does not have are ignored: `return_tensors` (there are padding, truncation, maxLength)",
      "CLIPTokenizer.decode: options that it does not have are ignored: `cleanUp` (there are skipSpecialTokens)",
    ]);
  });

  test("takes long texts in little time", async () => {
    tokenizer.encode("warm");
    const texts = [
      "lorem ipsum dolor ".repeat(556),
      "a".repeat(10_000),
      "!?".repeat(5000),
      "漢字".repeat(5000),
      " ".repeat(10_000),
    ];
    for (const text of texts) await expectWithin(100, () => tokenizer.encode(text));
    expect(tokenizer.encode("ab ".repeat(333_333)).length).toBe(333_335);
  });
});

describe("other files", () => {
  // In SD 2.x and SDXL's second tokenizer "!" is a special token wherever it stands; ids from transformers 5.23.0.
  test('"!" as pad token', async () => {
    const tokenizer = await withConfig({ pad_token: "!" });
    expect(tokenizer.padTokenId).toBe(0);
    expect(tokenizer.encode("a cat! wow!!")).toEqual([2512, 320, 2368, 0, 1613, 342, 0, 0, 2513]);
    expect(tokenizer("a cat!", { padding: "max_length", truncation: true, maxLength: 8 }).inputIds).toEqual([
      [2512, 320, 2368, 0, 2513, 0, 0, 0],
    ]);
    // With another pad token <|endoftext|> counts in any capitals, as <|startoftext|> always does.
    expect(tokenizer.encode("<|startoftext|> x <|endoftext|>y<|ENDOFTEXT|><|STARTOFTEXT|>")).toEqual([
      2512, 2512, 343, 2513, 344, 2513, 2512, 2513,
    ]);
  });

  test("tokenizer.json alone, as transformers 5 saves", async () => {
    const vocab = await readFixtureJSON<Record<string, number>>("models/tokenizer/vocab-2000/vocab.json");
    const merges = new TextDecoder().decode(await readFixture("models/tokenizer/vocab-2000/merges.txt"));
    const pairs = merges.trim().split("\n").slice(1);
    const added = [
      { id: 2512, content: "<|startoftext|>", normalized: true, special: true },
      { id: 2513, content: "<|endoftext|>", normalized: false, special: true },
    ];
    const gold = await readFixtureJSON<Gold>("models/tokenizer/tiny-vocab.json");
    // transformers 5 writes the merges as pairs, older ones as "a b".
    for (const list of [pairs, pairs.map((pair) => pair.split(" "))]) {
      const json = { added_tokens: added, model: { type: "BPE", end_of_word_suffix: "</w>", vocab, merges: list } };
      const config = { bos_token: "<|startoftext|>", eos_token: "<|endoftext|>", model_max_length: 77 };
      const tokenizer = await CLIPTokenizer.fromPretrained(
        inMemory({ "tokenizer.json": json, "tokenizer_config.json": config }),
      );
      const wrong = gold.cases.filter(({ text, ids }) => String(tokenizer.encode(text)) !== String(ids));
      expect(wrong).toEqual([]);
    }
  });

  // The words of textual inversion; ids from transformers 5.24.0.
  test("added_tokens.json, as transformers 4 saves", async () => {
    const list = { "<cat-toy>": 2514, "<Dog>": 2515, "<|endoftext|>": 2513 };
    const tokenizer = await withConfig({}, { "added_tokens.json": list });
    const ids = tokenizer.encode("a <cat-toy>, <DOG>s<Dog>");
    expect(ids).toEqual([2512, 320, 2514, 267, 2515, 338, 2515, 2513]);
    expect(tokenizer.decode(ids)).toBe("<|startoftext|>a <cat-toy>, <dog>s <dog><|endoftext|>");
    // A special token in that list is one only as it is written there.
    const shouted = [27, 347, 524, 639, 69, 600, 1052, 91, 285];
    expect(tokenizer.encode("<|ENDOFTEXT|>a<|endoftext|>")).toEqual([2512, ...shouted, 320, 2513, 2513]);
    await expect(withConfig({}, { "added_tokens.json": { "<x>": "1" } })).rejects.toThrow(
      /added_tokens\.json: token "<x>": the id must be a whole number/,
    );
  });

  // Ids and texts from transformers 5.24.0, here and in the next two tests.
  test("more special tokens: of the config, or of the map where no list has them", async () => {
    const list = { "added_tokens.json": { "<cat-toy>": 2514, "<Dog>": 2515 } };
    const texts = async (tokenizer: CLIPTokenizer, text: string, ids: number[]) => {
      expect(tokenizer.encode(text)).toEqual(ids);
      return tokenizer.decode(ids, { skipSpecialTokens: true });
    };
    const text = "a <cat-toy> <DOG> <Dog>";
    const ofConfig = await withConfig(
      {},
      { ...list, "tokenizer_config.json": { additional_special_tokens: ["<Dog>"] } },
    );
    expect(await texts(ofConfig, text, [2512, 320, 2514, 283, 1929, 285, 2515, 2513])).toBe("a <cat-toy>< dog >");
    const more = { additional_special_tokens: ["cat", "<New>"] };
    const ofMap = await withConfig({}, { "special_tokens_map.json": more });
    const ids = [2512, 1481, 338, 1481, 2514, 283, 686, 285, 2513];
    expect(await texts(ofMap, "cats cat <New> <NEW>", ids)).toBe("s < new >");
    const both = await withConfig({ additional_special_tokens: ["<a>"], extra_special_tokens: ["<b>"] });
    expect(await texts(both, "a <a> <b>", [2512, 320, 283, 320, 285, 2514, 2513])).toBe("a < a >");
  });

  test("marks and joiners belong to the words that a single_word token is apart from, small numbers do not", async () => {
    const plain = { lstrip: false, rstrip: false, normalized: false };
    const tokenizer = await withConfig({
      added_tokens_decoder: {
        1481: { ...plain, content: "cat", single_word: true, special: false },
        2514: { ...plain, content: "<Dog>", single_word: false, special: true },
      },
    });
    const ids = tokenizer.encode("a cat, cat\u0301 cat\u0345 cat\u2040s cat\u00b2 <Dog>");
    expect(ids).toEqual([
      2512, 320, 1481, 267, 2368, 136, 479, 2368, 137, 483, 2368, 1667, 478, 338, 1481, 126, 366, 2514, 2513,
    ]);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(
      "a cat, cat \u0301 cat \u0345 cat \u2040 s cat\u00b2",
    );
  });

  test("padding_side and truncation_side", async () => {
    const tokenizer = await withConfig({ padding_side: "left", truncation_side: "left" });
    const texts = ["a cat", "a red cat on a dog"];
    expect(tokenizer(texts, { padding: "max_length", truncation: true, maxLength: 6 })).toEqual({
      inputIds: [
        [2513, 2513, 2512, 320, 2368, 2513],
        [2512, 2368, 525, 320, 1929, 2513],
      ],
      attentionMask: [
        [0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
      ],
    });
    await expect(withConfig({ padding_side: "up" })).rejects.toThrow(
      /tokenizer_config\.json: padding_side must be "left" or "right", got "up"/,
    );
  });

  test("added_tokens_decoder, as later versions save", async () => {
    const plain = { lstrip: false, rstrip: false, normalized: true, single_word: false, special: false };
    const tokenizer = await withConfig({
      added_tokens_decoder: {
        2514: { ...plain, content: "<cat-toy>", rstrip: true, normalized: false },
        2515: { ...plain, content: "<Dog>" },
      },
    });
    expect(tokenizer.encode("a <cat-toy>  cat <Cat-Toy> <DOG>")).toEqual([
      2512, 320, 2514, 2368, 283, 2368, 268, 580, 344, 285, 2515, 2513,
    ]);
  });

  test("lstrip and rstrip take the spaces beside a token, those of another token excepted", () => {
    const plain = { normalized: false, lstrip: false, rstrip: false, single_word: false, special: false };
    const tokens = new AddedTokens(
      [
        [{ ...plain, content: "<x>", lstrip: true }, 7],
        [{ ...plain, content: "<y>", rstrip: true }, 8],
        [{ ...plain, content: "<w>", lstrip: true, single_word: true }, 9],
        [{ ...plain, content: "<x><x>" }, 10],
      ],
      (text) => text,
    );
    expect(tokens.split("a \u3000<x> b<x><y>  <x>c  <w>d \u0085<w>\t<x>")).toEqual([
      "a",
      { id: 7, text: " \u3000<x>" },
      " b",
      { id: 7, text: "<x>" },
      { id: 8, text: "<y>  " },
      { id: 7, text: "<x>" },
      "c  <w>d",
      { id: 9, text: " \u0085<w>" },
      { id: 7, text: "\t<x>" },
    ]);
    expect(tokens.split("a <x><x>")).toEqual(["a ", { id: 10, text: "<x><x>" }]); // the longest at a place, as in the tokenizers library
  });

  test("lstrip takes no longer than a long run of spaces is", async () => {
    const token = {
      content: "<x>",
      normalized: false,
      lstrip: true,
      rstrip: false,
      single_word: false,
      special: false,
    };
    const tokens = new AddedTokens([[token, 7]], (text) => text);
    const spaces = " ".repeat(1e5);
    const found = { id: 7, text: `${spaces}<x>` };
    // 5 ms; it was 19 s.
    await expectWithin(2000, () => {
      expect(tokens.split(spaces)).toEqual([spaces]);
      expect(tokens.split(`a${spaces}<x>${spaces}<x>`)).toEqual(["a", found, found]);
    });
  });

  test("the embedded model's", async () => {
    const tokenizer = await CLIPTokenizer.fromPretrained(EMBEDDED_MODEL, { subfolder: "tokenizer" });
    expect(tokenizer.modelMaxLength).toBe(77);
    const text = "a red circle on a white background";
    expect(tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true })).toBe(text);
  });

  test("null says nothing of where it is", async () => {
    const nothing = { subfolder: null, revision: null, token: null, local_files_only: null, signal: null };
    const tokenizer = await CLIPTokenizer.fromPretrained(fixtureRepository("clip-vocab"), nothing);
    expect(tokenizer.modelMaxLength).toBe(77);
  });

  test("malformed ones are named", async () => {
    const broken: [Record<string, unknown>, RegExp][] = [
      [{}, /^vocab\.json: no such file in memory/],
      [{ "vocab.json": { a: 0 } }, /^merges\.txt: no such file/],
      [{ "vocab.json": { a: "0" }, "merges.txt": "" }, /token "a": the id must be a whole number, got "0"/],
      [{ "vocab.json": { a: 0 }, "merges.txt": "a b c" }, /merges\.txt: line 1: expected two tokens/],
      [{ "vocab.json": { a: 0 }, "merges.txt": "" }, /bos_token "<\|startoftext\|>" is not in the vocabulary/],
      [
        { "vocab.json": { "<|startoftext|>": 0, "<|endoftext|>": 1 }, "merges.txt": "#version: 0.2\na b\n" },
        /merge 1 \("a b"\): the vocabulary lacks "a"/,
      ],
      [{ "tokenizer.json": { model: { type: "WordPiece" } } }, /WordPiece.*no CLIP vocabulary/],
    ];
    for (const [files, message] of broken) {
      await expect(CLIPTokenizer.fromPretrained(inMemory(files))).rejects.toThrow(message);
    }
  });
});

/** A repository of the given files; objects become JSON. */
function inMemory(files: Record<string, unknown>): Repository {
  return {
    name: "memory",
    open: async (path) => {
      if (!(path in files)) return null;
      const value = files[path];
      if (value instanceof Uint8Array) return memoryFile(value, path);
      return memoryFile(new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)), path);
    },
  };
}

/** The tiny tokenizer with some keys of its configs changed, and more files. */
async function withConfig(
  changes: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<CLIPTokenizer> {
  const folder = "models/tokenizer/vocab-2000";
  const files: Record<string, unknown> = { ...more };
  for (const name of ["vocab.json", "merges.txt"]) files[name] = await readFixture(`${folder}/${name}`);
  for (const name of ["tokenizer_config.json", "special_tokens_map.json"]) {
    const fixture = await readFixtureJSON<Record<string, unknown>>(`${folder}/${name}`);
    files[name] = { ...fixture, ...changes, ...(more[name] as object | undefined) };
  }
  return CLIPTokenizer.fromPretrained(inMemory(files));
}
