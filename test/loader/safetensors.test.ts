import { beforeAll, describe, expect, test } from "vitest";
import { readSafetensorsHeader, SafetensorsError, type SafetensorsHeader } from "../../src/loader/safetensors.js";
import { readFixtureJSON } from "../support/files.js";
import { memoryFile } from "../support/goldens.js";
import { expectWithin } from "../support/timing.js";
import { readCorpus, safetensors, type CorpusCase } from "./safetensors_corpus.js";

/** Accepted by the reference, refused here on purpose: see parseHeader. */
const STRICTER = new Set([
  "dup_name_same",
  "tensor_array_form",
  "dtype_object",
  "tensor_extra_field",
  "shape_rank_1000",
  "shape_rank_100000",
  "metadata_null",
]);

const read = (bytes: Uint8Array): Promise<SafetensorsHeader> =>
  readSafetensorsHeader(memoryFile(bytes, "x.safetensors"));

/** "accept", or the message; any other kind of error fails the test. */
async function verdict(bytes: Uint8Array): Promise<string> {
  try {
    await read(bytes);
    return "accept";
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    return error.message;
  }
}

const TWO =
  '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},' +
  '"b":{"dtype":"F16","shape":[5],"data_offsets":[24,34]}}';

describe("the corpus of 148 files", () => {
  let corpus: CorpusCase[];
  beforeAll(async () => {
    corpus = await readCorpus();
  });

  test("gets the reference's verdict, or a stricter one where documented", async () => {
    const wrong: string[] = [];
    for (const { name, verdict: expected, bytes } of corpus) {
      const got = await verdict(bytes);
      const wanted = STRICTER.has(name) ? "reject" : expected;
      if ((got === "accept" ? "accept" : "reject") !== wanted) wrong.push(`${name}: expected ${wanted}, got ${got}`);
    }
    expect(corpus).toHaveLength(148);
    expect(wrong).toEqual([]);
  });

  test("is judged within a second a file, every message one short line that names the file", async () => {
    for (const { bytes } of corpus) {
      const message = await expectWithin(1000, () => verdict(bytes));
      if (message !== "accept") {
        expect(message).toMatch(/^x\.safetensors: [^\n]+$/);
        expect(message.length).toBeLessThan(700);
      }
    }
  });
});

test("a header gives names, dtypes, shapes and absolute offsets", async () => {
  const { entries, metadata } = await read(safetensors(TWO, 34));
  const data = 8 + TWO.length;
  expect([...entries.values()]).toEqual([
    { name: "a", dtype: "F32", shape: [2, 3], start: data, end: data + 24 },
    { name: "b", dtype: "F16", shape: [5], start: data + 24, end: data + 34 },
  ]);
  expect([...metadata]).toEqual([["format", "pt"]]);
});

test("a tensor may be called __proto__", async () => {
  const { entries } = await read(safetensors('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1));
  expect(entries.get("__proto__")?.shape).toEqual([1]);
});

test("names over 512 characters are refused", async () => {
  const named = (length: number): Uint8Array =>
    safetensors(`{"${"n".repeat(length)}":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1);
  expect(await verdict(named(512))).toBe("accept");
  expect(await verdict(named(513))).toMatch(/513 characters, more than 512/);
});

test("a file cut at any byte is refused", async () => {
  const whole = safetensors(TWO, 34);
  const accepted: number[] = [];
  for (let length = 0; length < whole.length; length++) {
    if ((await verdict(whole.subarray(0, length))) === "accept") accepted.push(length);
  }
  expect(accepted).toEqual([]);
  expect(await verdict(whole)).toBe("accept");
});

test("a file with a flipped byte gets the reference's verdict", async () => {
  const { accepted } = await readFixtureJSON<{ accepted: number[] }>("safetensors/flips.json");
  const expected = new Set(accepted);
  const whole = safetensors(TWO, 34);
  const wrong: string[] = [];
  let count = 0;
  for (let at = 0; at < 8 + TWO.length; at++) {
    for (const mask of [0x01, 0x20, 0x80, 0xff]) {
      const bytes = whole.slice();
      bytes[at] ^= mask;
      const got = await verdict(bytes);
      if ((got === "accept") !== expected.has(at * 256 + mask)) wrong.push(`byte ${at} ^ ${mask}: ${got}`);
      count++;
    }
  }
  expect(wrong).toEqual([]);
  expect(count).toBe(604);
});

describe("files that are something else are named, with the cure", () => {
  const ascii = (text: string): Uint8Array => new TextEncoder().encode(text.padEnd(80));
  const magic = (...bytes: number[]): Uint8Array => Uint8Array.from([...bytes, ...new Array<number>(64).fill(0)]);
  const bodies: [string, Uint8Array, RegExp][] = [
    ["pickle", magic(0x80, 0x02, 0x7d, 0x71), /pickle.*can run code.*save_file/],
    ["zip", magic(0x50, 0x4b, 0x03, 0x04), /zip archive.*never read/],
    ["HTML", ascii("<!DOCTYPE html><html>not found</html>"), /HTML page/],
    ["HTML with spaces before it", ascii("\n\n <html>"), /HTML page/],
    ["LFS pointer", ascii("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), /git lfs pull/],
    ["gzip", magic(0x1f, 0x8b, 0x08, 0), /gunzip/],
    ["error body", ascii('{"error":"Repository not found"}'), /error message.*Repository not found/],
    ["GGUF", ascii("GGUF"), /GGUF/],
    ["NumPy array", magic(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59), /NumPy/],
    ["HDF5", magic(0x89, 0x48, 0x44, 0x46), /HDF5/],
    ["nothing", new Uint8Array(0), /0 bytes.*cut/],
    ["short text", new TextEncoder().encode("<html>"), /HTML page/],
  ];
  for (const [name, bytes, message] of bodies) {
    test(name, async () => {
      expect(await verdict(bytes)).toMatch(message);
    });
  }
});

test("a header whose length looks like a pickle's first bytes is read", async () => {
  const entry = '{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
  const { entries } = await read(safetensors(entry.padEnd(0x0280), 1));
  expect([...entries.keys()]).toEqual(["t"]);
  expect(await verdict(safetensors(`  ${entry}`.padEnd(0x0280), 1))).toBe("accept");
});

test("huge headers without data are refused at once", async () => {
  const many = (entry: (i: number) => string): string => Array.from({ length: 900_000 }, (_, i) => entry(i)).join();
  const tensors = `{${many((i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`)}}`;
  const metadata = `{"__metadata__":{${many((i) => `"${i}":"some text"`)}}}`;
  for (const [header, fault] of [
    [tensors, /more than 20000 tensors/],
    [metadata, /__metadata__ has more than 20000 entries/],
  ] as const) {
    const bytes = safetensors(header);
    expect(await expectWithin(1000, () => verdict(bytes))).toMatch(fault);
  }
});

test("a huge header of overlapping tensors is refused at once", async () => {
  const entry = '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}';
  const header = `{${Array.from({ length: 200_000 }, (_, i) => `"w${i}":${entry}`).join(",")}}`;
  const bytes = safetensors(header, 16);
  expect(await expectWithin(1000, () => verdict(bytes))).toMatch(/overlap/);
});
