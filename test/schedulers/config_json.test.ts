import { expect, test } from "vitest";
import { pythonFloat, pythonRepr, toJSONString } from "../../src/loader/config_json.js";

test("floats print as Python's repr", () => {
  const wanted: [number, string][] = [
    [0.00085, "0.00085"],
    [0.0001, "0.0001"],
    [0.00001, "1e-05"],
    [1.5e-7, "1.5e-07"],
    [80, "80.0"],
    [0, "0.0"],
    [-0, "-0.0"],
    [-2.5, "-2.5"],
    [0.1 + 0.2, "0.30000000000000004"],
    [123456789012345680, "1.2345678901234568e+17"],
    [1e15, "1000000000000000.0"],
    [1e16, "1e+16"],
    [1e300, "1e+300"],
    [0.00012345678901234567, "0.00012345678901234567"],
    [-Infinity, "-Infinity"],
    [NaN, "NaN"],
  ];
  for (const [value, text] of wanted) expect(pythonFloat(value)).toBe(text);
});

test("objects print as json.dumps with sorted keys and two spaces", () => {
  const value = { b: [1, 2.5, []], a: { é: 'ü\n"', Z: true, _x: null }, shift: 3, shifts: [1], empty: {} };
  expect(toJSONString(value, new Set(["shift", "shifts"]))).toBe(
    [
      "{",
      '  "a": {',
      '    "Z": true,',
      '    "_x": null,',
      '    "\\u00e9": "\\u00fc\\n\\""',
      "  },",
      '  "b": [',
      "    1,",
      "    2.5,",
      "    []",
      "  ],",
      '  "empty": {},',
      '  "shift": 3.0,',
      '  "shifts": [',
      "    1.0",
      "  ]",
      "}",
    ].join("\n"),
  );
  expect(() => toJSONString({ f: () => 1 })).toThrow(/function/);
});

test("values in warnings print as Python's repr", () => {
  expect(pythonRepr({ a: [1, 0.5, null], b: "it's", c: { d: true }, e: 'say "hi"' })).toBe(
    `{'a': [1, 0.5, None], 'b': "it's", 'c': {'d': True}, 'e': 'say "hi"'}`,
  );
});
