import { float16ToFloat32, float32ToFloat16 } from "../../src/tensor/dtype.js";

/** Every half, and the floats around the middle between it and the next. */
function* positive(): Generator<number> {
  const finite = float16ToFloat32(Uint16Array.from({ length: 0x7c00 }, (_, h) => h));
  const ulp = new Float32Array(1);
  const bits = new Uint32Array(ulp.buffer);
  for (const [h, value] of finite.entries()) {
    const next = finite[h + 1] ?? 65536;
    ulp[0] = (value + next) / 2;
    yield value;
    yield ulp[0];
    for (const step of [-1, 1]) {
      bits[0] += step;
      yield ulp[0];
      bits[0] -= step;
    }
  }
  yield* [1e-30, 65535, 65536, 1e30];
}

/** Numbers at which a conversion to halves can go wrong, whole quads of them, and what is to become of each. */
export function floatsAroundHalves(): { x: Float32Array; wanted: Float32Array } {
  const above = [...positive()];
  const some = [...above, ...above.map((value) => -value), Infinity, -Infinity, NaN];
  const x = Float32Array.from({ length: 8 * Math.ceil(some.length / 8) }, (_, i) => some[i] ?? 0);
  return { x, wanted: float16ToFloat32(float32ToFloat16(x)) };
}
