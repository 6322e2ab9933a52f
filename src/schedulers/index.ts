/** All schedulers. Importing this makes every class known to configs by its name. */
import { DDIMScheduler } from "./ddim.js";
import { EulerDiscreteScheduler } from "./euler_discrete.js";
import { PNDMScheduler } from "./pndm.js";
import { registerSchedulers } from "./registry.js";

registerSchedulers(DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler);

export { schedulerClass, schedulerNames } from "./registry.js";
export type { NoiseSource } from "./noise.js";
export { KARRAS_SCHEDULERS, Scheduler } from "./scheduler.js";
export type { LoadOptions, ScheduleOptions, SchedulerClass, StepOptions, StepResult } from "./scheduler.js";
export { DDIMScheduler, type DDIMConfig } from "./ddim.js";
export { PNDMScheduler, type PNDMConfig } from "./pndm.js";
export { EulerDiscreteScheduler, type EulerDiscreteConfig } from "./euler_discrete.js";
