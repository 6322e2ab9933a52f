/** Pictures beside a call's prompts, prepare_ip_adapter_image_embeds of diffusers' pipelines. */
import { shown } from "../../arguments/shown.js";
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { IPAdapter } from "../../nn/ip_adapter/ip_adapter.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { Device } from "../../tensor/device.js";
import { repeatRows, slice } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import type { CallOptions } from "../call/check_inputs.js";
import { inBatch, type Branches } from "../call/guidance.js";
import type { BaseImageProcessor } from "../images/base_image_processor.js";
import { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { PixelSource } from "../images/pixels.js";
import { needComponent } from "../loading/needed_components.js";

/** One picture for the only IP-Adapter, or a list of one, or several, for each. */
export type ImagePrompts = PixelSource | readonly (PixelSource | readonly PixelSource[])[];

/** What reads pictures, of a pipeline. */
interface PictureReader {
  className: string;
  device: Device;
  unet: UNet2DConditionModel;
  image_encoder: CLIPVisionModelWithProjection | null;
  feature_extractor: BaseImageProcessor | null;
}

const purpose = "to read `ipAdapterImage`; ipAdapterImageEmbeds do without";
const NEEDS = {
  image_encoder: { classes: [CLIPVisionModelWithProjection], purpose },
  feature_extractor: { classes: [CLIPImageProcessor], purpose },
};

/** @throws TypeError, RangeError where a call's pictures do not go with the UNet's IP-Adapters */
export function checkImagePrompts(
  reader: PictureReader,
  { ipAdapterImage: image, ipAdapterImageEmbeds: embeds }: Pick<CallOptions, "ipAdapterImage" | "ipAdapterImageEmbeds">,
): void {
  const { className, device } = reader;
  const count = reader.unet.ipAdapters.length;
  if (image !== undefined && embeds !== undefined)
    throw new TypeError(
      "Provide either `ipAdapterImage` or `ipAdapterImageEmbeds`. Cannot leave both `ipAdapterImage` and `ipAdapterImageEmbeds` defined.",
    );
  const name = image === undefined ? "ipAdapterImageEmbeds" : "ipAdapterImage";
  const given: unknown = image ?? embeds;
  if (given === undefined) {
    if (count === 0) return;
    throw new TypeError(
      `${className}: the UNet has IP-Adapters (${count}), which take pictures: give \`ipAdapterImage\`, or call unloadIpAdapter()`,
    );
  }
  if (count === 0)
    throw new TypeError(`${className}: \`${name}\` needs an IP-Adapter: \`await pipeline.loadIpAdapter(…)\` first`);
  if (image !== undefined) {
    for (const part of ["image_encoder", "feature_extractor"] as const)
      needComponent(className, part, reader[part], NEEDS[part]);
  } else if (!Array.isArray(given))
    throw new TypeError(`\`${name}\` has to be a list of tensors, one for each IP-Adapter, got ${shown(given)}`);
  const list = Array.isArray(given) ? (given as unknown[]) : [given];
  if (list.length !== count)
    throw new RangeError(
      `\`${name}\` must have same length as the number of IP Adapters. Got ${list.length} and ${count} IP Adapters.`,
    );
  if (image !== undefined) return; // the processor looks at the pictures
  for (const each of list) {
    if (!(each instanceof Tensor) || each.dtype === "int32" || ![3, 4].includes(each.shape.length))
      throw new TypeError(`\`${name}\` has to be a list of 3D or 4D tensors of floats, got ${shown(each)}`);
    if (each.device !== device) throw new TypeError(`\`${name}\` must be on the pipeline's device`);
  }
}

/**
 * @param image checked
 * @param branches of guidance; without it none
 * @returns for each adapter [1, pictures, …], with guidance a row for each branch, the negative ones of no picture
 */
export function encodePictures(
  { device, image_encoder: encoder, feature_extractor: processor }: PictureReader,
  image: ImagePrompts,
  { ipAdapters, branches }: { ipAdapters: readonly IPAdapter[]; branches: Branches | null },
): Tensor[] {
  const model = encoder as CLIPVisionModelWithProjection;
  const of = (Array.isArray(image) ? image : [image]) as readonly (PixelSource | readonly PixelSource[])[];
  const read = ({ image_proj: { readsHiddenStates } }: IPAdapter, i: number): Tensor =>
    device.scope(() => {
      const { pixelValues } = processor!(of[i], { device, dtype: model.dtype });
      const embed = (pixels: Tensor): Tensor => {
        const { imageEmbeds, hiddenStates } = model.forward(pixels, { outputHiddenStates: readsHiddenStates });
        return readsHiddenStates ? hiddenStates.at(-2)! : imageEmbeds;
      };
      const rows = embed(pixelValues);
      const embeds = rows.reshape([1, ...rows.shape]);
      if (!branches) return embeds;
      const nothing = (x: Tensor): Tensor => linearCombination([[0, x]]);
      const none = readsHiddenStates ? embed(nothing(pixelValues)) : nothing(rows);
      return inBatch(branches, { positive: embeds, negative: none.reshape(embeds.shape) });
    });
  return device.scope(() => ipAdapters.map(read));
}

/**
 * @param embeds [rows, pictures, …] for each adapter, with guidance as many rows for each branch
 * @param branches how many of guidance; 1 without it
 * @returns [batch, pictures, …] for each, with guidance as many rows for each branch; the caller (or its scope) disposes them
 * @throws RangeError where the rows do not go into the batch
 */
export function embedsOfCall(embeds: readonly Tensor[], batch: number, branches: number): Tensor[] {
  return embeds.map((each) => {
    const rows = each.shape[0] / branches;
    if (!Number.isInteger(rows) || !Number.isInteger(batch / rows))
      throw new RangeError(
        `\`ipAdapterImageEmbeds\` must have ${branches} rows for a call of ${batch} pictures, or ${branches * batch}, got ${each.shape[0]}`,
      );
    return each.device.scope(() => {
      const parts = Array.from({ length: branches }, (_, i) => again(slice(each, 0, i * rows, rows), batch / rows));
      return parts.reduce((all, part) => concat(all, part, 0));
    });
  });
}

/** All rows, again and again. */
function again(x: Tensor, times: number): Tensor {
  if (times === 1) return x;
  const [rows, ...rest] = x.shape;
  return repeatRows(x.reshape([1, rows, ...rest]), times).reshape([rows * times, ...rest]);
}
