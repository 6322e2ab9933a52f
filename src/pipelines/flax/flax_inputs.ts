/** The arguments of a call of FlaxStableDiffusionPipeline, cut into what each device gets. */
import { shown } from "../../arguments/shown.js";
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { noTensor } from "../../tensor/no_tensor.js";
import type { JAXKey } from "../../tensor/random_jax.js";
import { Tensor } from "../../tensor/tensor.js";
import type { FlaxShard } from "./flax_draw.js";

export interface FlaxInputs {
  promptIds: Tensor;
  prngSeed: JAXKey | readonly JAXKey[];
  jit: boolean;
  latents: Tensor | undefined;
  negPromptIds: Tensor | undefined;
}

/**
 * @param latentShape of one picture
 * @returns a shard per device, and the shape of the latents of one shard
 * @throws RangeError, TypeError naming the argument, its shape and the cure
 */
export async function makeShards(
  { promptIds, prngSeed, jit, latents, negPromptIds }: FlaxInputs,
  devices: number,
  latentShape: readonly number[],
  tokenizer: CLIPTokenizer,
): Promise<{ shards: FlaxShard[]; shape: number[] }> {
  const layout = jit ? "[devices, batch, tokens], from shard()" : "[batch, tokens], from prepareInputs()";
  const ids = check("promptIds", promptIds, layout);
  const leading = ids.slice(0, -1);
  const tokens = ids[ids.length - 1];
  if (leading.length !== (jit ? 2 : 1) || (jit && leading[0] !== devices))
    throw new RangeError(
      `\`promptIds\` must be ${layout}${jit ? `, for the ${devices} devices of params` : ""}; got [${ids.join(", ")}]`,
    );
  const batch = leading[leading.length - 1];
  const shape = [batch, ...latentShape];
  const wanted = { negPromptIds: [...leading, tokens], latents: [...leading, ...latentShape] };
  for (const [name, tensor] of Object.entries({ negPromptIds, latents }))
    if (tensor !== undefined) {
      const right = wanted[name as keyof typeof wanted];
      if (check(name, tensor, `[${right.join(", ")}]`).join() !== right.join())
        throw new RangeError(
          `\`${name}\` must be [${right.join(", ")}] for these prompts and this size, got [${tensor.shape.join(", ")}]`,
        );
    }
  const keys = checkKeys(prngSeed, jit, devices);
  const positive = rows(await promptIds.data(), tokens);
  const negative = negPromptIds
    ? rows(await negPromptIds.data(), tokens)
    : emptyRows(tokenizer, positive.length, tokens);
  const noise = latents ? ((await latents.data()) as Float32Array) : null;
  const size = shape.reduce((a, b) => a * b, 1);
  const shards = keys.map((key, i) => ({
    key,
    promptIds: positive.slice(i * batch, (i + 1) * batch),
    negPromptIds: negative.slice(i * batch, (i + 1) * batch),
    latents: noise && noise.slice(i * size, (i + 1) * size),
  }));
  return { shards, shape };
}

function check(name: string, tensor: unknown, layout: string): readonly number[] {
  if (tensor instanceof Tensor) return tensor.shape;
  throw new TypeError(`\`${name}\` must be a Tensor ${layout}, got ${noTensor(tensor)}`);
}

function checkKeys(seed: JAXKey | readonly JAXKey[], jit: boolean, devices: number): readonly JAXKey[] {
  const isKey = (key: unknown): key is JAXKey => key instanceof Uint32Array && key.length === 2;
  if (!jit && isKey(seed)) return [seed];
  if (jit && Array.isArray(seed) && seed.length === devices && seed.every(isKey)) return seed;
  const got = isKey(seed) ? "one key" : Array.isArray(seed) ? `${seed.length} keys` : shown(seed);
  throw new TypeError(
    jit
      ? `\`prngSeed\` must have a key per device with jit: true, split(PRNGKey(0), ${devices}); got ${got}`
      : `\`prngSeed\` must be a key, PRNGKey(0); got ${got}`,
  );
}

const rows = (data: ArrayLike<number>, width: number): number[][] =>
  Array.from({ length: data.length / width }, (_, row) =>
    Array.from({ length: width }, (_, i) => data[row * width + i]),
  );

const emptyRows = (tokenizer: CLIPTokenizer, count: number, maxLength: number): number[][] =>
  tokenizer(new Array<string>(count).fill(""), { padding: "max_length", maxLength }).inputIds;

/** "pictures 3 to 4 are", counted from 1, for the shards of `batch` pictures each that are missing. */
export function pictureNames(shards: readonly number[], batch: number): string {
  const ranges = shards.map((shard) =>
    batch === 1 ? `${shard + 1}` : `${shard * batch + 1} to ${(shard + 1) * batch}`,
  );
  const one = shards.length * batch === 1;
  return `FlaxStableDiffusionPipeline: picture${one ? "" : "s"} ${ranges.join(", ")} ${one ? "is" : "are"}`;
}
