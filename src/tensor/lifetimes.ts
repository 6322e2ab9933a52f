/** Memory of a plan by the lifetimes of what it holds. */
export interface Lived {
  readonly bytes: number;
  /** Indices of the first and the last command that may use it. */
  readonly first: number;
  readonly last: number;
}

/** As many bytes as the first of its tenants, the largest, has. */
export interface Slot<T extends Lived> {
  bytes: number;
  tenants: T[];
}

/** Each in the tightest slot that is free all its life, the largest first ("greedy by size", Pisarchyk & Lee 2020). */
export function assign<T extends Lived>(all: readonly T[]): Slot<T>[] {
  const slots: Slot<T>[] = [];
  for (const each of [...all].sort((a, b) => b.bytes - a.bytes)) {
    const meets = (other: T): boolean => each.first <= other.last && other.first <= each.last;
    // All are at least as large; the last made is the tightest.
    const free = slots.findLast(({ tenants }) => !tenants.some(meets));
    if (free) free.tenants.push(each);
    else slots.push({ bytes: each.bytes, tenants: [each] });
  }
  return slots;
}
