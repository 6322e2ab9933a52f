/** What scripts/make_t2i_adapter.py wrote, and the models that it was written with. */
import { RawImage, T2IAdapter, type AdapterImage, type Device } from "../../src/index.js";
import { readFixtureJSON } from "./files.js";
import { madeRepository } from "./made_weights.js";
import { picture, pixels, tensor } from "./pictures.js";

export interface AdapterRun {
  /** Without "StableDiffusion" and "Pipeline". */
  pipeline: string;
  adapters: string[];
  scheduler: string;
  /** What the adapters read. */
  image: string;
  options: Record<string, unknown>;
  shape: number[];
  images: number[];
}

interface Goldens {
  /** Configs of adapters with made weights. */
  adapters: Record<string, Record<string, unknown>>;
  runs: AdapterRun[];
  /** What adapters compute alone. */
  models: { name: string; total: number; shapes: number[][]; features: number[][] }[];
}

export const T2I_ADAPTER = await readFixtureJSON<Goldens>("pipelines/t2i_adapter.json");

const [A, B] = [() => picture(48, 32), () => picture(61, 45)];
/** The first bytes of coloured pixels, as scripts/made_pictures.py. */
const grey = (): RawImage =>
  new RawImage(
    61,
    45,
    pixels(61, 45).filter((_, i) => i % 3 === 0),
    1,
  );
export const IMAGES: Record<string, () => AdapterImage | (AdapterImage | AdapterImage[])[]> = {
  "48x32": A,
  "61x45": B,
  grey,
  two: () => [A(), B()],
  "one and grey": () => [A(), grey()],
  nested: () => [
    [A(), B()],
    [grey(), grey()],
  ],
  tensor: () => tensor(56, 40, "nchw"),
  tensors: () => [1, 0.5].map((scale) => tensor(48, 32, "nchw", scale).reshapeOwned([3, 32, 48])),
};

/** An adapter of the fixtures. */
export function t2iAdapter(
  name: string,
  options: { dtype?: "float32" | "float16"; device?: Device } = {},
): Promise<T2IAdapter> {
  const config = T2I_ADAPTER.adapters[name];
  return T2IAdapter.fromPretrained(madeRepository(name, config, new T2IAdapter(config)), options);
}
