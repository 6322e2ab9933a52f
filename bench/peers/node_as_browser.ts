/** What libraries that are made for browsers miss in Node 20. It costs none of them time on the GPU. */
import os from "node:os";

export function actAsBrowser(gpu: GPU): void {
  const navigator = { gpu, userAgent: `Node.js ${process.version}`, hardwareConcurrency: os.cpus().length };
  // Node has a `navigator` of its own from version 21 on.
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
  takeSharedMemory();
  addIteratorHelpers();
}

/** Dawn's binding for Node refuses shared memory in writeBuffer ("Invalid argument"); ORT's wasm has no other. */
function takeSharedMemory(): void {
  const { prototype } = GPUQueue;
  const { writeBuffer } = prototype;
  prototype.writeBuffer = function (this: GPUQueue, buffer, offset, data, from = 0, size?) {
    if (!ArrayBuffer.isView(data) || !(data.buffer instanceof SharedArrayBuffer))
      return writeBuffer.call(this, buffer, offset, data, from, size);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // Offset and size count elements of the view, which ORT has in bytes.
    return writeBuffer.call(this, buffer, offset, bytes.slice(from, size === undefined ? undefined : from + size));
  };
}

/** jax-js' einsum maps and filters an iterator, which Node can from version 22 on. */
function addIteratorHelpers(): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;
  if ("map" in prototype) return;
  const helpers = {
    *map<T, U>(this: Iterable<T>, f: (value: T) => U): Generator<U> {
      for (const value of this) yield f(value);
    },
    *filter<T>(this: Iterable<T>, accepts: (value: T) => boolean): Generator<T> {
      for (const value of this) if (accepts(value)) yield value;
    },
  };
  for (const [name, value] of Object.entries(helpers))
    Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
}
