/**
 * DiffusionPipeline with every class that a model_index.json may name. Without these imports bundlers leave out the
 * classes that a program does not name itself, and with them what makes them known.
 */
import "./ddim.js";
import "./ddpm.js";
import "./pndm.js";
import "./stable_diffusion.js";

export { DiffusionPipeline } from "./diffusion_pipeline.js";
