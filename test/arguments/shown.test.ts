import { expect, test } from "vitest";
import { shown } from "../../src/arguments/shown.js";
import { Callable } from "../../src/loader/callable.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { testDevice } from "../support/gpu.js";

class Called extends Callable {
  static readonly className = "CalledPipeline";
  call(): void {}
}
class Printed {
  toString(): string {
    return "Printed {\n}";
  }
}

const VALUES: [value: unknown, text: string][] = [
  ["64", '"64"'],
  ["two\nlines", '"two\\nlines"'],
  [NaN, "NaN"],
  [-Infinity, "-Infinity"],
  [8n, "8"],
  [undefined, "undefined"],
  [null, "null"],
  [[1, NaN, ["a", {}]], '[1, NaN, ["a", {}]]'],
  [{ s1: 1, b1: [] }, "{ s1: 1, b1: [] }"],
  [Object.create(null), "{}"],
  [[[[[5]]]], "[[[[…]]]]"],
  [new Float32Array(3), "Float32Array(3)"],
  [new DataView(new ArrayBuffer(4)), "DataView(4)"],
  [new AbortController(), "AbortController"],
  [Promise.resolve(), "Promise"],
  [new Generator("cpu"), "Generator"],
  [new Printed(), "Printed"],
  [new Called(), "CalledPipeline"],
  [Generator, "class Generator"],
  [Called, "class CalledPipeline"],
  [shown, "function shown"],
  [() => 0, "function (anonymous)"],
  [Symbol("s"), "Symbol(s)"],
];
for (const [value, text] of VALUES) test(`shows ${text}`, () => expect(shown(value)).toBe(text));

test("shows tensors by what they say of themselves", async () => {
  const tensor = Tensor.from([1], [1], { device: await testDevice() });
  expect(shown([tensor])).toBe("[Tensor(float32 [1])]");
  tensor.dispose();
});

test("cuts what is long, and ends where a list holds itself", () => {
  expect(shown("x".repeat(1000))).toBe(`"${"x".repeat(99)}…`);
  expect(shown(new Array(1e6).fill(0.5))).toHaveLength(101);
  const loop: unknown[] = [];
  loop.push(loop);
  expect(shown(loop)).toBe("[[[[…]]]]");
});
