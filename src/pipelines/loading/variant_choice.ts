import { ConfigError } from "../../loader/errors.js";

/**
 * What a pipeline does where some of its models have no files of the variant: as in diffusers these load their default
 * files, unless no model has any.
 */
export class VariantChoice {
  readonly #variant: string;
  readonly #models: readonly string[];
  readonly #waiting: Set<string>;
  readonly #with = new Set<string>();
  #decide!: () => void;
  readonly #decided: Promise<void>;

  /** @param models that will each call fallBack(), first of all at their load; the signal aborts those that wait for one that never will */
  constructor(variant: string, models: readonly string[], signal: AbortSignal) {
    this.#variant = variant;
    this.#models = models;
    this.#waiting = new Set(models);
    this.#decided = new Promise((resolve, reject) => {
      this.#decide = resolve;
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    this.#decided.catch(() => undefined); // nobody may be waiting
  }

  /**
   * @param found whether this model has the variant
   * @returns whether it is to load its default files, once that can be said
   * @throws ConfigError if no model has the variant
   */
  async fallBack(model: string, found: boolean): Promise<boolean> {
    this.#waiting.delete(model);
    if (found) this.#with.add(model);
    if (found || this.#waiting.size === 0) this.#decide();
    if (found) return false;
    await this.#decided;
    if (this.#with.size > 0) return true;
    throw new ConfigError(
      `variant "${this.#variant}": none of ${this.#models.join(", ")} has weights of it; leave it out to load the default weights`,
    );
  }

  /** Says which models were loaded from other files. */
  warn(): void {
    const without = this.#models.filter((model) => !this.#with.has(model));
    if (without.length === 0) return;
    const variant = this.#variant;
    console.warn(
      `A mixture of ${variant} and non-${variant} filenames will be loaded: ${without.join(", ")} ` +
        `${without.length > 1 ? "have" : "has"} no ${variant} weights.`,
    );
  }
}
