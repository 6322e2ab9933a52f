/** jax-js: every op as one jitted function, so that it can fuse. */
import type { Array as JaxArray } from "@jax-js/jax";
import type { Library, Way } from "./library.js";
import { formulas } from "./jax_formulas.js";
import type { Formula, Problem } from "./problem.js";

export type Jax = typeof import("@jax-js/jax");

export async function openJax(): Promise<Library> {
  const jax = await import("@jax-js/jax");
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("jax-js finds no WebGPU");
  jax.defaultDevice("webgpu");
  const ways = async (problem: Problem): Promise<Way[]> => formulas(jax, problem).map((formula) => wayOf(jax, formula));
  const nothing = (): void => undefined; // it submits each kernel at once
  return { name: "jax-js", version: "", device: jax.getWebGPUDevice(), ways, flush: nothing, close: nothing };
}

function wayOf(jax: Jax, { name, inputs, f, back = (y) => y }: Formula<JaxArray>): Way {
  const arrays = inputs.map(([values, shape]) => jax.numpy.array(values, { shape: [...shape] }));
  const jitted = jax.jit(f);
  // jax-js moves its arguments; `ref` keeps them.
  const call = (): JaxArray => jitted(...arrays.map((array) => array.ref));
  return {
    name,
    // data() consumes the array
    result: async () => back((await call().data()) as Float32Array),
    // jax-js is lazy: this submits, and lets go of the array
    run: () => void call().gpuBufferSync(),
    dispose() {
      for (const array of arrays) array.dispose();
      jitted.dispose();
    },
  };
}
