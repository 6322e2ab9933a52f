/** The config of T2IAdapter, diffusers/models/adapter.py. */
import { isCount, listOf, oneOf, type ConfigSchema } from "../config.js";

export const t2iAdapterSchema: ConfigSchema = {
  name: "T2IAdapter",
  defaults: {
    in_channels: 3,
    channels: [320, 640, 1280, 1280],
    num_res_blocks: 2,
    downscale_factor: 8,
    adapter_type: "full_adapter",
  },
  rules: {
    in_channels: isCount,
    channels: listOf(isCount),
    num_res_blocks: isCount,
    downscale_factor: isCount,
    adapter_type: oneOf("full_adapter", "full_adapter_xl", "light_adapter"),
  },
};

/** The keys of the config. */
export interface T2IAdapterConfig {
  /** Of the picture: 3, or 1 of sketches and edges. */
  in_channels: number;
  channels: number[];
  num_res_blocks: number;
  downscale_factor: number;
  adapter_type: "full_adapter" | "full_adapter_xl" | "light_adapter";
}
