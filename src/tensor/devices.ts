/** Several devices: one per adapter that this process can open, or as many as one likes. */
import { plainOptions } from "../arguments/options.js";
import { shown } from "../arguments/shown.js";
import { adapterName, isSoftwareAdapter } from "./adapter_kind.js";
import { adapterSources, type AdapterSource } from "./adapters.js";
import { ensureDevice, requestDevice, type Device } from "./device.js";

/** Which devices devices() opens. */
export interface DevicesOptions {
  /**
   * How many. Adapters take turns, so that more devices than adapters share them; two devices of one adapter draw the same
   * pictures as two adapters. Default: one per adapter, or what the environment variable WEBGPU_DIFFUSERS_DEVICES says.
   */
  count?: number;
  /** CPU adapters beside GPUs, too; by default only where there is no GPU. */
  software?: boolean;
}

/** An adapter and the devices that `devices` made of it. */
interface Slot {
  readonly source: AdapterSource | null;
  readonly name: string;
  readonly isSoftware: boolean;
  devices: Device[];
}

let slots: Slot[] | undefined;
/** Calls follow each other, or two at once would make devices twice. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Devices for `replicate` and `shard`, the default device first. The same ones are given each time; those that are lost are
 * made anew.
 * @throws NoAdapterError if there is no adapter, RangeError for an impossible count
 */
export function devices(options?: DevicesOptions | null): Promise<Device[]> {
  const result = last.then(() => openDevices(options));
  last = result.catch(() => undefined);
  return result;
}

/** How many devices there are: jax.device_count(). */
export const deviceCount = async (options?: DevicesOptions | null): Promise<number> => (await devices(options)).length;

async function openDevices(options: DevicesOptions | null | undefined): Promise<Device[]> {
  const { count = countFromEnvironment(), software = false } = plainOptions(options, ["count", "software"], "devices");
  if (count !== undefined && !(Number.isSafeInteger(count) && count > 0 && count <= 1024))
    throw new RangeError(`devices: count must be a whole number from 1 to 1024, got ${shown(count)}`);
  const first = await ensureDevice();
  slots ??= await findSlots();
  for (const slot of slots) slot.devices = slot.devices.filter((device) => !device.isLost);
  const own = slotOf(slots, first);
  const others = slots.filter((slot) => slot !== own && (software || !slot.isSoftware || first.isSoftware));
  const ordered = [own, ...others];
  const chosen: Device[] = [];
  for (let i = 0; i < (count ?? ordered.length); i++) {
    const slot = ordered[i % ordered.length];
    const turn = Math.floor(i / ordered.length);
    slot.devices[turn] ??= await openOn(slot);
    chosen.push(slot.devices[turn]);
  }
  return chosen;
}

/** The slot of the default device, where it becomes the first. */
function slotOf(all: Slot[], device: Device): Slot {
  const name = adapterName(device.adapterInfo);
  let slot = all.find((each) => each.devices.includes(device)) ?? all.find((each) => each.name === name);
  if (!slot) all.push((slot = { source: null, name, isSoftware: device.isSoftware, devices: [] }));
  slot.devices = [device, ...slot.devices.filter((other) => other !== device)];
  return slot;
}

async function findSlots(): Promise<Slot[]> {
  const found = new Map<string, Slot>();
  for (const source of await adapterSources()) {
    const info = (await source())?.info;
    if (!info) continue;
    const name = adapterName(info);
    if (!found.has(name)) found.set(name, { source, name, isSoftware: isSoftwareAdapter(info), devices: [] });
  }
  return [...found.values()].sort((a, b) => Number(a.isSoftware) - Number(b.isSoftware));
}

async function openOn({ source, name }: Slot): Promise<Device> {
  const adapter = await source?.();
  if (adapter) return requestDevice({ adapter });
  throw new Error(`devices: the adapter ${name} gives no further device`);
}

/** As XLA's --xla_force_host_platform_device_count. */
function countFromEnvironment(): number | undefined {
  const text = typeof process === "undefined" ? undefined : process.env?.WEBGPU_DIFFUSERS_DEVICES;
  return text ? Number(text) : undefined;
}
