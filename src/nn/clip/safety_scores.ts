/** How near a picture is to the concepts of a safety checker, diffusers/pipelines/stable_diffusion/safety_checker.py. */
import { roundHalfEven } from "../../tensor/round.js";

/** Points of CLIP's space, [concepts, width], and how near a picture may be to each. */
interface Concepts {
  readonly embeds: Float32Array;
  readonly weights: Float32Array;
}

/** What a safety checker says of one picture. */
export interface SafetyScores {
  /** By concept, how much nearer than allowed the picture is, in thousandths: above 0 it is in the picture. */
  specialScores: number[];
  /** Indices of those above 0; one is enough to have all concepts after it judged more strictly, by 0.01. */
  specialCare: number[];
  conceptScores: number[];
  /** Indices of those above 0. */
  badConcepts: number[];
}

/** What special care adds to a score. */
const ADJUSTMENT = 0.01;

/** @param image [width], its embedding */
export function scoreConcepts(
  image: Float32Array,
  { specialCare, concepts }: Readonly<Record<"specialCare" | "concepts", Concepts>>,
): SafetyScores {
  let adjustment = 0;
  const specialScores = cosines(image, specialCare.embeds).map((cosine, i) => {
    const score = scoreOf(cosine, specialCare.weights[i], adjustment);
    if (score > 0) adjustment = ADJUSTMENT;
    return score;
  });
  const conceptScores = cosines(image, concepts.embeds).map((cosine, i) =>
    scoreOf(cosine, concepts.weights[i], adjustment),
  );
  return { specialScores, specialCare: above(specialScores), conceptScores, badConcepts: above(conceptScores) };
}

const above = (scores: readonly number[]): number[] => scores.flatMap((score, i) => (score > 0 ? [i] : []));

/** In float32 and to three places, as numpy computes and rounds it. */
function scoreOf(cosine: number, threshold: number, adjustment: number): number {
  const { fround } = Math;
  const score = fround(fround(fround(cosine) - threshold) + fround(adjustment));
  return fround(roundHalfEven(fround(score * 1000)) / 1000);
}

/** The least length that torch's normalize divides by. */
const LEAST = 1e-12;

/** Of the picture and each concept. */
function cosines(image: Float32Array, embeds: Float32Array): number[] {
  const width = image.length;
  const length = (x: Float32Array): number => Math.max(LEAST, Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0)));
  const own = length(image);
  return Array.from({ length: embeds.length / width }, (_, i) => {
    const concept = embeds.subarray(i * width, (i + 1) * width);
    return concept.reduce((sum, value, j) => sum + value * image[j], 0) / own / length(concept);
  });
}
