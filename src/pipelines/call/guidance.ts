/** Classifier-free guidance: what is predicted of each picture in one batch, and how that becomes one prediction. */
import { slice } from "../../tensor/ops/copy.js";
import { guide, guideEdit } from "../../tensor/ops/guidance.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";

/** Which prompt a branch reads; with the negative one go no pictures as prompts (IP-Adapters). */
type Branch = "negative" | "positive";

/** In the order of their rows, which is what callbacks see, too. */
export type Branches = readonly Branch[];

/** Of a pipeline: a call says them, and a callback may change them. */
export interface Scales {
  guidanceScale: number;
  guidanceRescale: number;
  /** Of pipelines that edit pictures. */
  imageGuidanceScale?: number;
}

export interface Guidance {
  readonly branches: Branches;
  /** The scales that it goes by, and what they are where a call says nothing. */
  readonly scales: Readonly<Scales>;
  isOn(scales: Scales): boolean;
  /** @param prediction rows of all branches */
  combine(prediction: Tensor, scales: Scales): Tensor;
}

/** Away from the negative prompt: of all pipelines of diffusers but those below. */
export const PROMPT_GUIDANCE: Guidance = {
  branches: ["negative", "positive"],
  scales: { guidanceScale: 7.5, guidanceRescale: 0 },
  isOn: ({ guidanceScale }) => guidanceScale > 1,
  combine: (prediction, { guidanceScale: scale, guidanceRescale: rescale }) => guide(prediction, { scale, rescale }),
};

/** With the prompt and the picture to edit, with the picture alone, with neither: the InstructPix2Pix pipelines of diffusers. */
export const EDIT_GUIDANCE: Guidance = {
  branches: ["positive", "negative", "negative"],
  scales: { guidanceScale: 7.5, guidanceRescale: 0, imageGuidanceScale: 1.5 },
  isOn: ({ guidanceScale, imageGuidanceScale = 0 }) => guidanceScale > 1 && imageGuidanceScale >= 1,
  combine: (prediction, { guidanceScale: scale, guidanceRescale: rescale, imageGuidanceScale: imageScale = 0 }) =>
    guideEdit(prediction, { scale, imageScale, rescale }),
};

/** The rows of all branches. @returns a tensor of the caller's (or its scope) */
export const inBatch = (branches: Branches, rows: Readonly<Record<Branch, Tensor>>): Tensor =>
  rows.positive.device.scope(() => branches.map((branch) => rows[branch]).reduce((all, each) => concat(all, each, 0)));

/** Of a tensor with the rows of all branches those of the prompts: where a callback has ended the guidance no others are looked at. */
export const promptRows = (branches: Branches, x: Tensor, rows: number): Tensor =>
  x.shape[0] > rows ? slice(x, 0, branches.indexOf("positive") * rows, rows) : x;
