/** All schedulers. Importing this makes every class known to configs by its name. */
import { DDIMScheduler } from "./ddim.js";
import { PNDMScheduler } from "./pndm.js";
import { LMSDiscreteScheduler } from "./lms_discrete.js";
import { EulerDiscreteScheduler } from "./euler_discrete.js";
import { HeunDiscreteScheduler } from "./heun_discrete.js";
import { EulerAncestralDiscreteScheduler } from "./euler_ancestral_discrete.js";
import { KDPM2DiscreteScheduler } from "./kdpm2_discrete.js";
import { KDPM2AncestralDiscreteScheduler } from "./kdpm2_ancestral_discrete.js";
import { registerSchedulers } from "./registry.js";

registerSchedulers(
  DDIMScheduler,
  PNDMScheduler,
  LMSDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  KDPM2DiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
);

export { schedulerClass, schedulerNames } from "./registry.js";
export type { NoiseSource } from "./noise.js";
export { KARRAS_SCHEDULERS, Scheduler } from "./scheduler.js";
export type { LoadOptions, ScheduleOptions, SchedulerClass, StepOptions, StepResult } from "./scheduler.js";
export { DDIMScheduler, type DDIMConfig } from "./ddim.js";
export { PNDMScheduler, type PNDMConfig } from "./pndm.js";
export { LMSDiscreteScheduler, type LMSDiscreteConfig } from "./lms_discrete.js";
export { EulerDiscreteScheduler, type EulerDiscreteConfig } from "./euler_discrete.js";
export { HeunDiscreteScheduler, type HeunDiscreteConfig } from "./heun_discrete.js";
export { EulerAncestralDiscreteScheduler, type EulerAncestralDiscreteConfig } from "./euler_ancestral_discrete.js";
export { KDPM2DiscreteScheduler } from "./kdpm2_discrete.js";
export { KDPM2AncestralDiscreteScheduler } from "./kdpm2_ancestral_discrete.js";
