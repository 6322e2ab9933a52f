// The compiled file lies one folder deeper (dist/src/loader) than the source (src/loader).
const root = new URL(import.meta.url.includes("/dist/src/") ? "../../../" : "../../", import.meta.url);

/**
 * The address of the small model that ships with the package (64x64 pictures of coloured shapes), for `fromPretrained`:
 * a `file:` URL in Node, an `http(s):` one where the package is served to a browser.
 */
export const EMBEDDED_MODEL: string = new URL("models/shapes/", root).href;

/** All its files: what a load looks for beside them need not be asked of a server, which browsers report as errors. */
export const EMBEDDED_FILES: readonly string[] = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "text_encoder/config.json",
  "text_encoder/model.safetensors",
  "tokenizer/merges.txt",
  "tokenizer/special_tokens_map.json",
  "tokenizer/tokenizer_config.json",
  "tokenizer/vocab.json",
  "unet/config.json",
  "unet/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
];
