/** Which model a checkpoint in one file is: diffusers' infer_diffusers_model_type (loaders/single_file_utils.py). */
import { ConfigError } from "../errors.js";
import type { SafetensorsEntry } from "../safetensors.js";

type Entries = ReadonlyMap<string, Pick<SafetensorsEntry, "shape">>;

const IN = "model.diffusion_model.input_blocks.0.0.weight";
const PROMPT = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight";
const XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias";
/** Where Stable Diffusion 1's blocks become no wider. */
const UPSCALER = "model.diffusion_model.input_blocks.10.0.skip_connection.bias";
const REFINER = "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias";

/** Keys of files that are another model. */
const OTHERS: readonly [key: string, name: string][] = [
  ["edm_mean", "Playground 2.5"],
  ["control_model.time_embed.0.weight", "a ControlNet"],
  ["model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3"],
  ["model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "Flux"],
];

/**
 * The repository on the hub whose configs a checkpoint goes by.
 * @throws ConfigError for a model that this library has not
 */
export function configRepository(path: string, entries: Entries): string {
  const isTwo = entries.get(PROMPT)?.shape.at(-1) === 1024;
  const isXL = entries.has(XL);
  if (entries.get(IN)?.shape[1] === 9) {
    if (isTwo) return "stabilityai/stable-diffusion-2-inpainting";
    return isXL
      ? "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
      : "stable-diffusion-v1-5/stable-diffusion-inpainting";
  }
  if (isTwo) return "stabilityai/stable-diffusion-2-1";
  if (entries.has(UPSCALER)) return "stabilityai/stable-diffusion-x4-upscaler";
  refuseOthers(path, entries);
  if (isXL) return "stabilityai/stable-diffusion-xl-base-1.0";
  if (entries.has(REFINER)) return "stabilityai/stable-diffusion-xl-refiner-1.0";
  if (entries.get(IN)?.shape[1] === 8) return "timbrooks/instruct-pix2pix";
  return "stable-diffusion-v1-5/stable-diffusion-v1-5";
}

function refuseOthers(path: string, entries: Entries): void {
  const other = OTHERS.find(([key]) => entries.has(key));
  if (other) throw new ConfigError(`${path}: is ${other[1]}, which is not read from one file`);
}
