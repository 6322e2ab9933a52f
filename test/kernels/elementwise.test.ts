import { expect, test } from "vitest";
import { requestDevice } from "../../src/tensor/device.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { geglu, linearCombination } from "../../src/tensor/ops/elementwise.js";
test("lincomb", async () => {
  const device = await requestDevice();
  console.log(device.adapterInfo.description, [...device.features]);
  for (const dtype of ["float32", "float16"] as const) {
  const x = Tensor.from([1, 2, 3, 4, 5], [5], { device, dtype });
  const y = Tensor.from([1, 1, 1, 1, 1], [5], { device, dtype });
  const z = linearCombination([[2, x], [-1, y]], { clamp: [0, 6] });
  expect(Array.from(await z.data())).toEqual([1, 3, 5, 6, 6]);
  const g = geglu(Tensor.from([1, 2, 3, 4, 5, 6], [1, 6], { device, dtype }));
  console.log(await g.data());
  }
});
