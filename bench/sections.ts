/** Parts of the suite beside the single ops, and how the names of their results tell them apart. */

/** How names begin. */
export const REAL_SIZE = "real size";
export const MANY_DEVICES = "many devices";

/** Headings, by how names begin. */
const SECTIONS: readonly (readonly [start: string, heading: string])[] = [
  [REAL_SIZE, "A model of Stable Diffusion 1.5's size"],
  [MANY_DEVICES, "Many devices"],
  ["", "The package's model"],
];
/** In the order in which they are measured. */
export const HEADINGS = SECTIONS.map(([, heading]) => heading).reverse();

export const headingOf = (name: string): string => SECTIONS.find(([start]) => name.startsWith(start))![1];

/** Results of a model of Stable Diffusion 1.5's size that stand beside the sum of its ops. */
export const REAL_STEP = "next guided step at 512x512";
export const REAL_DECODE = "next VAE decode to 512x512";
