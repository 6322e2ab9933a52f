import { addressedFolder } from "./addressed_folder.js";

/**
 * The address of the small model that ships with the package (64x64 pictures of coloured shapes), for `fromPretrained`:
 * a `file:` URL in Node, an `http(s):` one where the package is served to a browser, a mere name where a bundler gave its
 * files other names.
 */
// Written out one by one, because bundlers copy what they read as `new URL("…", import.meta.url)` and nothing else, and
// from where the compiled file lies (dist/src/loader). As functions and "pure", so that a program that does not name the
// model does not bring it along.
export const EMBEDDED_MODEL: string = /* @__PURE__ */ addressedFolder(
  "models/shapes/",
  {
    "model_index.json": () => new URL("../../../models/shapes/model_index.json", import.meta.url),
    "scheduler/scheduler_config.json": () =>
      new URL("../../../models/shapes/scheduler/scheduler_config.json", import.meta.url),
    "text_encoder/config.json": () => new URL("../../../models/shapes/text_encoder/config.json", import.meta.url),
    "text_encoder/model.safetensors": () =>
      new URL("../../../models/shapes/text_encoder/model.safetensors", import.meta.url),
    "tokenizer/merges.txt": () => new URL("../../../models/shapes/tokenizer/merges.txt", import.meta.url),
    "tokenizer/special_tokens_map.json": () =>
      new URL("../../../models/shapes/tokenizer/special_tokens_map.json", import.meta.url),
    "tokenizer/tokenizer_config.json": () =>
      new URL("../../../models/shapes/tokenizer/tokenizer_config.json", import.meta.url),
    "tokenizer/vocab.json": () => new URL("../../../models/shapes/tokenizer/vocab.json", import.meta.url),
    "unet/config.json": () => new URL("../../../models/shapes/unet/config.json", import.meta.url),
    "unet/diffusion_pytorch_model.safetensors": () =>
      new URL("../../../models/shapes/unet/diffusion_pytorch_model.safetensors", import.meta.url),
    "vae/config.json": () => new URL("../../../models/shapes/vae/config.json", import.meta.url),
    "vae/diffusion_pytorch_model.safetensors": () =>
      new URL("../../../models/shapes/vae/diffusion_pytorch_model.safetensors", import.meta.url),
  },
  import.meta.url,
);
