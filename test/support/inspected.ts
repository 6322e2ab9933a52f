/** What console.log of Node prints of an object that has its hook; in browsers, what it would. */
export const inspected = (value: object): string =>
  (value as Record<symbol, () => string>)[Symbol.for("nodejs.util.inspect.custom")]();
