/** transformers' CLIPConfig, as a safety checker's config.json has it: that of a vision model inside, and of a text model that it has not. */
import { checkConfigObject } from "../../arguments/config_object.js";
import { shown } from "../../arguments/shown.js";
import { keepNumberTypes } from "../../loader/number_types.js";
import { anything, checkConfig, isCount, type ConfigSchema } from "../config.js";
import { CLIP_VISION_SCHEMA, type CLIPVisionConfig } from "./clip_vision_transformer.js";

/** The keys of the config that are read. */
export interface SafetyCheckerConfig {
  /** Width of the space that pictures and concepts are compared in. */
  projection_dim: number;
  vision_config: Readonly<CLIPVisionConfig>;
}

export const SAFETY_CHECKER_SCHEMA: Omit<ConfigSchema, "name"> = {
  defaults: {
    projection_dim: 512,
    text_config: {},
    vision_config: {},
    logit_scale_init_value: 2.6592,
    initializer_factor: 1,
  },
  rules: {
    projection_dim: isCount,
    vision_config: anything, // checked by itself
    // Of the text model, and of a CLIP model's training.
    text_config: anything,
    logit_scale_init_value: anything,
    initializer_factor: anything,
  },
};

type Values = Readonly<Record<string, unknown>>;

/**
 * A config with the vision model's in full. In files of 2022 `vision_config_dict` has what its maker said, which counts.
 * @throws TypeError naming the key whose value nothing here computes
 */
export function safetyCheckerConfig(name: string, given: Values): Values {
  checkConfigObject(name, given);
  const { text_config_dict, vision_config_dict, ...config } = given;
  const text = joined(name, "text_config", given.text_config, text_config_dict);
  const vision = joined(name, "vision_config", given.vision_config, vision_config_dict, CLIP_VISION_SCHEMA.defaults);
  const schema = { ...CLIP_VISION_SCHEMA, name: `${name}, vision_config` };
  const full = { ...config, text_config: text, vision_config: checkConfig(schema, vision) };
  return keepNumberTypes(full, given);
}

/** @param defaults of keys that `wins`, where there is one, does not name: they win, too, as in transformers */
function joined(name: string, key: string, plain: unknown, wins: unknown, defaults: Values = {}): Values {
  for (const [each, value] of Object.entries({ [key]: plain, [`${key}_dict`]: wins }))
    if (value !== null && value !== undefined && (typeof value !== "object" || Array.isArray(value)))
      throw new TypeError(`${name}: config ${each} must be an object, got ${shown(value)}`);
  const own = (plain ?? {}) as Values;
  return wins ? keepNumberTypes({ ...own, ...defaults, ...wins }, own) : own;
}
