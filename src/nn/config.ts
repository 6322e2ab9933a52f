/** Model configs: diffusers' constructor defaults, and a named error for every value that no code here computes. */

export type ModelConfig = Readonly<Record<string, unknown>>;

/** What a key must be; anything else is refused by name. */
export type Rule = (value: unknown) => boolean;

export interface ConfigSchema {
  /** Class name for errors and for `_class_name`. */
  readonly name: string;
  /** Constructor arguments with their defaults. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Rules by key. A key of `defaults` without a rule must equal its default: no flag without a checkpoint that uses it. */
  readonly rules: Readonly<Record<string, Rule>>;
}

export const isCount: Rule = (value) =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= 1 << 20;
export const isNumber: Rule = (value) => typeof value === "number" && Number.isFinite(value);
export const isBoolean: Rule = (value) => typeof value === "boolean";
export const anything: Rule = () => true;
export const oneOf =
  (...values: unknown[]): Rule =>
  (value) =>
    values.includes(value);
export const nullOr =
  (rule: Rule): Rule =>
  (value) =>
    value === null || rule(value);
export const listOf =
  (rule: Rule): Rule =>
  (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= 64 && value.every(rule);
export const either =
  (...rules: Rule[]): Rule =>
  (value) =>
    rules.some((rule) => rule(value));

/**
 * Fills defaults and checks every known key. Unknown keys are kept, as diffusers keeps them.
 * @throws TypeError naming class, key and value
 */
export function checkConfig(schema: ConfigSchema, given: Readonly<Record<string, unknown>>): ModelConfig {
  const config: Record<string, unknown> = { ...schema.defaults };
  for (const [key, value] of Object.entries(given)) config[key] = value;
  for (const [key, fallback] of Object.entries(schema.defaults)) {
    const value = config[key];
    const rule = schema.rules[key];
    if (key in schema.rules ? rule(value) : JSON.stringify(value) === JSON.stringify(fallback)) continue;
    const cure = key in schema.rules ? "" : ` (supported: ${JSON.stringify(fallback)})`;
    throw new TypeError(`${schema.name}: config ${key} = ${shown(value)} is not supported${cure}`);
  }
  return Object.freeze(config);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
