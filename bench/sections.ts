/** Parts of the suite beside the single ops, and how the names of their results tell them apart. */

/** How names begin. Those that begin otherwise are of the package's model. */
export const REAL_SIZE = "real size";
export const MANY_DEVICES = "many devices";

/** Results of a model of Stable Diffusion 1.5's size that stand beside the sum of its ops. */
export const REAL_STEP = "next guided step at 512x512";
export const REAL_DECODE = "next VAE decode to 512x512";
