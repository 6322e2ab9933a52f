/** VAEs whose activations are beyond float16. */
import { readJSON } from "../../loader/config.js";
import type { Repository } from "../../loader/repository.js";
import type { PipelineDType } from "../loading/load_components.js";

/**
 * The dtypes of a pipeline's models in float16 whose VAE says force_upcast: diffusers makes it float32 for each pass, this once.
 * @param models that are loaded
 */
export async function wideVAE(
  repository: Repository,
  dtype: PipelineDType | undefined,
  models: readonly string[],
): Promise<PipelineDType | undefined> {
  if (dtype !== "float16" || !models.includes("vae")) return dtype;
  const { force_upcast: upcast = true } = await readJSON(repository, "vae/config.json");
  return upcast === true ? { vae: "float32", default: dtype } : dtype;
}
