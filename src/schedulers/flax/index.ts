/** The stateless schedulers. Importing this makes every class known to configs by its name. */
import { registerFlaxSchedulers } from "../registry.js";
import { FlaxDDIMScheduler } from "./flax_ddim.js";
import { FlaxDDPMScheduler } from "./flax_ddpm.js";
import { FlaxDPMSolverMultistepScheduler } from "./flax_dpmsolver_multistep.js";
import { FlaxEulerDiscreteScheduler } from "./flax_euler_discrete.js";
import { FlaxKarrasVeScheduler } from "./flax_karras_ve.js";
import { FlaxLMSDiscreteScheduler } from "./flax_lms_discrete.js";
import { FlaxPNDMScheduler } from "./flax_pndm.js";
import { FlaxScoreSdeVeScheduler } from "./flax_sde_ve.js";

registerFlaxSchedulers(
  FlaxDDIMScheduler,
  FlaxDDPMScheduler,
  FlaxPNDMScheduler,
  FlaxLMSDiscreteScheduler,
  FlaxDPMSolverMultistepScheduler,
  FlaxEulerDiscreteScheduler,
  FlaxKarrasVeScheduler,
  FlaxScoreSdeVeScheduler,
);

export { findFlaxScheduler, flaxSchedulerNames } from "../registry.js";
export { FlaxScheduler, type FlaxSchedulerClass, type FlaxState } from "./flax_scheduler.js";
export {
  FLAX_KARRAS_SCHEDULERS,
  FlaxDiffusionScheduler,
  type CommonSchedulerState,
  type FlaxDiffusionState,
  type FlaxStepOptions,
  type FlaxStepResult,
} from "./flax_diffusion_scheduler.js";
export { disposeState, restoreState, saveState } from "./flax_state.js";
export { FlaxDDIMScheduler, type DDIMSchedulerState, type FlaxDDIMConfig } from "./flax_ddim.js";
export { FlaxDDPMScheduler, type DDPMSchedulerState, type FlaxDDPMConfig } from "./flax_ddpm.js";
export {
  FlaxDPMSolverMultistepScheduler,
  type DPMSolverMultistepSchedulerState,
  type FlaxDPMSolverMultistepConfig,
} from "./flax_dpmsolver_multistep.js";
export {
  FlaxEulerDiscreteScheduler,
  type EulerDiscreteSchedulerState,
  type FlaxEulerDiscreteConfig,
} from "./flax_euler_discrete.js";
export {
  FlaxKarrasVeScheduler,
  type FlaxKarrasVeConfig,
  type FlaxKarrasVeOutput,
  type KarrasVeSchedulerState,
} from "./flax_karras_ve.js";
export {
  FlaxLMSDiscreteScheduler,
  type FlaxLMSDiscreteConfig,
  type LMSDiscreteSchedulerState,
} from "./flax_lms_discrete.js";
export { FlaxPNDMScheduler, type FlaxPNDMConfig, type PNDMSchedulerState } from "./flax_pndm.js";
export {
  FlaxScoreSdeVeScheduler,
  type FlaxScoreSdeVeConfig,
  type FlaxSdeVeOutput,
  type ScoreSdeVeSchedulerState,
} from "./flax_sde_ve.js";
