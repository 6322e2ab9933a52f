/** Splitting a batch over devices, flax.training.common_utils.shard. */
import type { Device } from "./device.js";
import { devices as allDevices } from "./devices.js";
import { noTensor } from "./no_tensor.js";
import { Tensor } from "./tensor.js";

/**
 * Splits the leading axis: [n, …] becomes [devices, n / devices, …]. The result lies in the memory of `x`, on its
 * device, and both are disposed; the pipeline takes each shard to its device.
 * @param devices by default all that `devices()` gives
 * @throws RangeError where the batch does not split evenly, as in JAX; TypeError for what is no Tensor
 */
export async function shard(x: Tensor, devices?: readonly Device[]): Promise<Tensor> {
  if (!((x as unknown) instanceof Tensor))
    throw new TypeError(`shard: takes a Tensor, such as prepareInputs() gives, got ${noTensor(x)}`);
  const { length: count } = devices ?? (await allDevices());
  const [batch = 0, ...rest] = x.shape;
  if (count > 0 && batch > 0 && batch % count === 0) return x.reshape([count, batch / count, ...rest]);
  const even = Math.max(count, batch - (batch % count));
  throw new RangeError(
    `shard: ${batch} rows do not split evenly over ${count} devices; take a multiple such as ${even}, or give fewer ` +
      "devices: shard(x, devices) and replicate(params, devices)",
  );
}
