/** The T2I-Adapters of a pipeline, as they are given and kept. */
import { MultiAdapter } from "../../nn/t2i_adapter/multi_adapter.js";
import { T2IAdapter } from "../../nn/t2i_adapter/t2i_adapter.js";
import { listOf } from "../images/pixels.js";
import type { ComponentClass } from "../loading/given_components.js";

export type Adapters = T2IAdapter | MultiAdapter;

/** A component besides those of Stable Diffusion. */
export type AdapterComponent = {
  /** One, or a list of those that steer together. */
  adapter: Adapters | readonly T2IAdapter[] | null;
};

export const ADAPTER_KINDS = [T2IAdapter, MultiAdapter];

/** For `componentClasses`. */
export const ANY_ADAPTER: ComponentClass = {
  className: T2IAdapter.className,
  [Symbol.hasInstance]: (value) =>
    ADAPTER_KINDS.some((Kind) => listOf(value).every((each: unknown) => each instanceof Kind)),
};

/** A list as one model; null stays null, whatever the type says: calls say that they need one. */
export function adaptersOf({ adapter }: AdapterComponent): Adapters {
  return (Array.isArray(adapter) ? new MultiAdapter(adapter as T2IAdapter[]) : adapter) as Adapters;
}
