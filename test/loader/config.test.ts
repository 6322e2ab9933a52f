import { describe, expect, test } from "vitest";
import { readJSON, type Repository } from "../../src/loader/repository.js";
import { parseJSON } from "../../src/loader/config.js";
import { memoryFile } from "../support/goldens.js";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (text: string): unknown => parseJSON(utf8(text), "config.json");

/** A repository whose only file, config.json, holds the text. */
const holding = (text: string): Repository => ({
  name: "memory",
  open: async (path) => (path === "config.json" ? memoryFile(utf8(text), path) : null),
});

describe("parseJSON", () => {
  test("reads what JSON.parse reads", () => {
    const texts = [
      "{}",
      "[]",
      "0",
      "-0.5e+3",
      '"a\\n\\u00e9\\\\"',
      " [1, 2 ,\t3]\r\n",
      '{"a":{"b":[true,false,null]}}',
      '"é😀"',
    ];
    for (const text of texts) expect(parse(text)).toStrictEqual(JSON.parse(text));
  });

  test("reads Infinity, -Infinity and NaN, as Python writes them", () => {
    expect(parse('{"a": -Infinity, "b": [Infinity, NaN]}')).toEqual({ a: -Infinity, b: [Infinity, NaN] });
  });

  test("refuses what is no JSON, naming file, line and column", () => {
    const bad: [string, RegExp][] = [
      ['{"a":1,}', /^config\.json: is no valid JSON: expected """, got "}" at line 1 column 8$/],
      ['{\n  "a": x\n}', /expected a value, got "x\\n}" at line 2 column 8/],
      ["{'a':1}", /line 1 column 2/],
      ['{"a":01}', /line 1 column 7/],
      ['{"a":+1}', /a value/],
      ['{"a":.5}', /a value/],
      ['{"a":"x', /does not end/],
      ['{"a":"\\x"}', /bad escape/],
      ['{"a":"\t"}', /control character/],
      ['{"a":1} {"b":2}', /the end/],
      ['{"a":1', /text ends/],
      ["", /empty/],
      ["\ufeff{}", /byte-order mark/],
      ['{"a":1,"a":2}', /"a" stands twice/],
      ['{"__proto__":{"x":1}}', /__proto__/],
      ["[".repeat(100000), /nesting deeper than 128/],
      ["<!DOCTYPE html><html></html>", /^config\.json: is an HTML page/],
      ["version https://git-lfs.github.com/spec/v1", /git lfs pull/],
    ];
    for (const [text, message] of bad) {
      expect(() => parse(text)).toThrow(message);
    }
    expect(() => parseJSON(Uint8Array.of(0x22, 0xff, 0x22), "config.json")).toThrow(/not UTF-8/);
    expect(() => parseJSON(Uint8Array.of(0x80, 0x02, 0x7d), "config.json")).toThrow(/pickle/);
  });

  test("does not touch Object.prototype", () => {
    const value = parse('{"constructor":{"prototype":1},"toString":2}') as Record<string, unknown>;
    expect(value.toString).toBe(2);
    expect(Object.keys(value)).toEqual(["constructor", "toString"]);
    expect(({} as Record<string, unknown>).prototype).toBeUndefined();
  });
});

describe("readJSON", () => {
  test("gives the object", async () => {
    expect(await readJSON(holding('{"sample_size": 64}'), "config.json")).toEqual({ sample_size: 64 });
  });

  test("names file and repository when there is no such file or no object in it", async () => {
    await expect(readJSON(holding("{}"), "unet/config.json")).rejects.toThrow(
      "unet/config.json: no such file in memory",
    );
    await expect(readJSON(holding("[1]"), "config.json")).rejects.toThrow(
      "config.json of memory: must hold a JSON object, got an array",
    );
    await expect(readJSON(holding("null"), "config.json")).rejects.toThrow(/got null/);
    await expect(readJSON(holding('"x"'), "config.json")).rejects.toThrow(/got a string/);
  });
});
