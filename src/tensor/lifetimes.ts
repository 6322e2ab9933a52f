/** Memory of a plan by the lifetimes of what it holds. */
import { ALIGNMENT } from "./memory.js";

export interface Lived {
  readonly bytes: number;
  /** Indices of the first and the last command that may use it. */
  readonly first: number;
  readonly last: number;
}

const meet = (a: Lived, b: Lived): boolean => a.first <= b.last && b.first <= a.last;

/** As many bytes as the first of its tenants, the largest, has; several may have parts of it at the same time. */
export interface Slot<T extends Lived> {
  bytes: number;
  tenants: { tenant: T; offset: number }[];
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/**
 * Each in the tightest gap that is free all its life, the largest first ("greedy by size", Pisarchyk & Lee 2020).
 * @param apart whether two that live at the same time must not be in one slot
 */
export function share<T extends Lived>(all: readonly T[], apart: (a: T, b: T) => boolean): Slot<T>[] {
  const slots: Slot<T>[] = [];
  for (const each of [...all].sort((a, b) => b.bytes - a.bytes)) {
    let best: { slot: Slot<T>; offset: number; gap: number } | undefined;
    for (const slot of slots) {
      const met = slot.tenants.filter(({ tenant }) => meet(each, tenant));
      if (met.some(({ tenant }) => apart(each, tenant))) continue;
      const taken = met.map(({ tenant, offset }) => ({ from: offset, to: aligned(offset + tenant.bytes) }));
      let offset = 0;
      for (const { from, to } of [...taken.sort((a, b) => a.from - b.from), { from: slot.bytes, to: slot.bytes }]) {
        const gap = from - offset;
        if (gap >= each.bytes && (!best || gap < best.gap)) best = { slot, offset, gap };
        offset = Math.max(offset, to); // those that it meets need not meet each other
      }
    }
    if (best) best.slot.tenants.push({ tenant: each, offset: best.offset });
    else slots.push({ bytes: each.bytes, tenants: [{ tenant: each, offset: 0 }] });
  }
  return slots;
}

/** The same with whole slots: one tenant at a time. */
export const assign = <T extends Lived>(all: readonly T[]): Slot<T>[] => share(all, () => true);
