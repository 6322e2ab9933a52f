import { Callable } from "../../loader/callable.js";
import { notYet } from "../../nn/not_yet.js";

type Method = Parameters<typeof notYet>[1];

/**
 * What Python's pipelines have and these have not, so that a program taken from there is told of more than "is not a function".
 * Every method throws.
 */
export abstract class NotYet extends Callable {
  declare static readonly className: string;

  /** The class's name, for messages. */
  get className(): string {
    return (this.constructor as unknown as { className: string }).className;
  }

  /** Pipelines that take prompts have it, but for Flax's. */
  async loadLoraWeights(..._: unknown[]): Promise<void> {
    throw this.#lacks("loadLoraWeights");
  }

  /** As loadLoraWeights(). */
  async loadTextualInversion(..._: unknown[]): Promise<void> {
    throw this.#lacks("loadTextualInversion");
  }

  /** As loadLoraWeights(). */
  async loadIpAdapter(..._: unknown[]): Promise<void> {
    throw this.#lacks("loadIpAdapter");
  }

  /** A call that did nothing would leave who counts on it without memory. */
  enableSequentialCpuOffload(..._: unknown[]): never {
    throw this.#lacks("enableSequentialCpuOffload");
  }

  enableGroupOffload(..._: unknown[]): never {
    throw this.#lacks("enableGroupOffload");
  }

  #lacks(method: Method): Error {
    return notYet(this.className, method);
  }
}
