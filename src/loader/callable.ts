/**
 * Base of classes whose objects are called like functions, as Python's `__call__`: `super()` gives a function with the
 * subclass' prototype, on which the subclass' constructor then works.
 */
export abstract class Callable {
  constructor() {
    const self = Object.setPrototypeOf((...args: unknown[]) => self.call(...args), new.target.prototype) as this & {
      call(...args: unknown[]): unknown;
    };
    return self;
  }

  /** What calling the object does. */
  abstract call(...args: never[]): unknown;
}
