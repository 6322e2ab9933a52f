/** The sizes and scores that Stable Diffusion XL's UNet is told, _get_add_time_ids of diffusers' pipelines. */
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { EDIT_GUIDANCE } from "../call/guidance.js";
import type { XLCallOptions, XLPictureCallOptions } from "./check_inputs_xl.js";

type Size = readonly [height: number, width: number];

/** The rows of a batch of so many pictures; with guidance those of the negative prompt, too. */
export type TimeIds = (pictures: number, guided: boolean) => number[][];

/** Of text to picture: original size, crop, target size. */
export function textTimeIds(options: XLCallOptions, drawn: Size): TimeIds {
  const { originalSize = drawn, cropsCoordsTopLeft = [0, 0], targetSize = drawn } = options;
  const { negativeOriginalSize, negativeCropsCoordsTopLeft = [0, 0], negativeTargetSize } = options;
  const positive = [...originalSize, ...cropsCoordsTopLeft, ...targetSize];
  const negative =
    negativeOriginalSize && negativeTargetSize
      ? [...negativeOriginalSize, ...negativeCropsCoordsTopLeft, ...negativeTargetSize]
      : positive;
  // diffusers repeats both rows for each picture, not each row for all pictures: rows that differ alternate.
  return (pictures, guided) => new Array<number[][]>(pictures).fill(guided ? [negative, positive] : [positive]).flat();
}

/** Of pictures that are edited: one row for all, whatever the prompt. */
export function editTimeIds(options: XLCallOptions, drawn: Size): TimeIds {
  const { originalSize = drawn, cropsCoordsTopLeft = [0, 0], targetSize = drawn } = options;
  const row = [...originalSize, ...cropsCoordsTopLeft, ...targetSize];
  return (pictures, guided) => new Array<number[]>((guided ? EDIT_GUIDANCE.branches.length : 1) * pictures).fill(row);
}

/** Of pictures: as for texts, or with an aesthetic score instead of the target size, as the refiner takes them. */
export function pictureTimeIds(options: XLPictureCallOptions, drawn: Size, scored: boolean): TimeIds {
  const { originalSize = drawn, cropsCoordsTopLeft = [0, 0], targetSize = drawn } = options;
  const { negativeOriginalSize = originalSize, negativeTargetSize = targetSize } = options;
  const { aestheticScore = 6, negativeAestheticScore = 2.5, negativeCropsCoordsTopLeft = [0, 0] } = options;
  const positive = [...originalSize, ...cropsCoordsTopLeft, ...(scored ? [aestheticScore] : targetSize)];
  // Without scores diffusers passes over negativeCropsCoordsTopLeft.
  const negative = scored
    ? [...negativeOriginalSize, ...negativeCropsCoordsTopLeft, negativeAestheticScore]
    : [...negativeOriginalSize, ...cropsCoordsTopLeft, ...negativeTargetSize];
  return (pictures, guided) => [
    ...new Array<number[]>(guided ? pictures : 0).fill(negative),
    ...new Array<number[]>(pictures).fill(positive),
  ];
}

/** Numbers of a row. */
const COUNT = 6;
const SCORED_COUNT = 5;

/** @throws RangeError for a UNet that takes a score and gets none, or the other way round, with what to do */
export function checkScored(
  { className, unet }: { className: string; unet: UNet2DConditionModel },
  pooledWidth: number,
  count: number,
): void {
  const { projection_class_embeddings_input_dim: takes, addition_time_embed_dim: each } = unet.config;
  const other = count === SCORED_COUNT ? COUNT : SCORED_COUNT;
  // No class edits pictures with a score.
  if (className.includes("InstructPix2Pix")) return;
  if (each === null || takes !== pooledWidth + each * other) return;
  const from = /(Img2Img|Inpaint)Pipeline$/.test(className)
    ? className
    : className.replace("Pipeline", "Img2ImgPipeline");
  throw new RangeError(
    `${className}: the UNet takes ${other} numbers of sizes and scores beside the pooled prompt ` +
      `(projection_class_embeddings_input_dim = ${takes}), and this gives ${count}; ` +
      `${from}.fromPipe(pipeline, { requires_aesthetics_score: ${other === SCORED_COUNT} }) draws with it`,
  );
}
