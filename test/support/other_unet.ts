/** The tiny models with other UNets, whose weights are made. */
import { openRepository, UNet2DConditionModel, type Repository } from "../../src/index.js";
import { readJSON } from "../../src/loader/config.js";
import { fixturePath } from "./files.js";
import { madeWeights } from "./made_weights.js";
import { changed } from "./repositories.js";

/**
 * @param name of a folder of fixtures/models/repos
 * @param differences keys of model_index.json and of the UNet's config that differ
 */
export async function withUNet(name: string, { index, unet }: { index: object; unet: object }): Promise<Repository> {
  const folder = fixturePath(`models/repos/${name}`);
  const base = await openRepository(folder);
  const config = { ...(await readJSON(base, "unet/config.json")), ...unet };
  const shapes = [...new UNet2DConditionModel(config).parameters()].map(([key, { shape }]) => [key, shape] as const);
  return changed(folder, {
    "model_index.json": { ...(await readJSON(base, "model_index.json")), ...index },
    "unet/config.json": config,
    "unet/diffusion_pytorch_model.safetensors": madeWeights(new Map(shapes)),
  });
}
