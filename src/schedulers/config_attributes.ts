/** The deprecated way to a config, `scheduler.num_train_timesteps` (`__getattr__` of diffusers' configuration_utils.py). */
import type { Config } from "./config.js";

interface Configured {
  readonly className: string;
  readonly config?: Config;
}

/**
 * Makes the keys of a config readable on the objects that have one, with diffusers' warning. Each name becomes a getter of
 * `base`, once: what an object or its class has under that name comes first, and nothing else gets slower, as all would behind
 * a Proxy.
 * @param base the prototype that all these objects share
 */
export function offerKeys(base: object, config: Config): void {
  for (const key of Object.keys(config))
    if (!key.startsWith("_") && !(key in base))
      Object.defineProperty(base, key, {
        configurable: true,
        get(this: Configured): unknown {
          return this.config && Object.hasOwn(this.config, key) ? deprecated(this, key, this.config[key]) : undefined;
        },
        // A class may have a field of that name which it sets itself.
        set(this: object, value: unknown): void {
          Object.defineProperty(this, key, { value, writable: true, enumerable: true, configurable: true });
        },
      });
}

function deprecated({ className }: Configured, key: string, value: unknown): unknown {
  console.warn(
    `Accessing config attribute \`${key}\` directly via '${className}' object attribute is deprecated. Please access ` +
      `'${key}' over '${className}'s config object instead, e.g. 'scheduler.config.${key}'.`,
  );
  return value;
}
