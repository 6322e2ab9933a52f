/** All schedulers. Importing this makes every class known to configs by its name. */
import { DDIMScheduler } from "./ddim.js";
import { DDIMParallelScheduler } from "./ddim_parallel.js";
import { DDPMScheduler } from "./ddpm.js";
import { DDPMParallelScheduler } from "./ddpm_parallel.js";
import { PNDMScheduler } from "./pndm.js";
import { LMSDiscreteScheduler } from "./lms_discrete.js";
import { EulerDiscreteScheduler } from "./euler_discrete.js";
import { HeunDiscreteScheduler } from "./heun_discrete.js";
import { EulerAncestralDiscreteScheduler } from "./euler_ancestral_discrete.js";
import { DPMSolverMultistepScheduler } from "./dpmsolver_multistep.js";
import { DPMSolverSinglestepScheduler } from "./dpmsolver_singlestep.js";
import { KDPM2DiscreteScheduler } from "./kdpm2_discrete.js";
import { KDPM2AncestralDiscreteScheduler } from "./kdpm2_ancestral_discrete.js";
import { DEISMultistepScheduler } from "./deis_multistep.js";
import { UniPCMultistepScheduler } from "./unipc_multistep.js";
import { DPMSolverSDEScheduler } from "./dpmsolver_sde.js";
import { EDMEulerScheduler } from "./edm_euler.js";
import { DPMSolverMultistepInverseScheduler } from "./dpmsolver_multistep_inverse.js";
import { SASolverScheduler } from "./sasolver.js";
import { DDIMInverseScheduler } from "./ddim_inverse.js";
import { LCMScheduler } from "./lcm.js";
import { TCDScheduler } from "./tcd.js";
import { IPNDMScheduler } from "./ipndm.js";
import { EDMDPMSolverMultistepScheduler } from "./edm_dpmsolver_multistep.js";
import { CMStochasticIterativeScheduler } from "./consistency_models.js";
import { FlowMatchEulerDiscreteScheduler } from "./flow_match_euler_discrete.js";
import { FlowMatchHeunDiscreteScheduler } from "./flow_match_heun_discrete.js";
import { FlowMatchLCMScheduler } from "./flow_match_lcm.js";
import { UnCLIPScheduler } from "./unclip.js";
import { ScoreSdeVeScheduler } from "./sde_ve.js";
import { KarrasVeScheduler } from "./karras_ve.js";
import { RePaintScheduler } from "./repaint.js";
import { ScoreSdeVpScheduler } from "./sde_vp.js";
import { DDPMWuerstchenScheduler } from "./ddpm_wuerstchen.js";
import { CogVideoXDDIMScheduler } from "./cogvideox_ddim.js";
import { CogVideoXDPMScheduler } from "./cogvideox_dpm.js";
import { CosineDPMSolverMultistepScheduler } from "./cosine_dpmsolver_multistep.js";
import { SCMScheduler } from "./scm.js";
import { LTXEulerAncestralRFScheduler } from "./ltx_euler_ancestral_rf.js";
import { registerSchedulers } from "./registry.js";

registerSchedulers(
  DDIMScheduler,
  DDPMScheduler,
  PNDMScheduler,
  LMSDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  KDPM2DiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  DEISMultistepScheduler,
  UniPCMultistepScheduler,
  DPMSolverSDEScheduler,
  EDMEulerScheduler,
  DDIMParallelScheduler,
  DDPMParallelScheduler,
  DPMSolverMultistepInverseScheduler,
  SASolverScheduler,
  DDIMInverseScheduler,
  LCMScheduler,
  TCDScheduler,
  IPNDMScheduler,
  EDMDPMSolverMultistepScheduler,
  CMStochasticIterativeScheduler,
  FlowMatchEulerDiscreteScheduler,
  FlowMatchHeunDiscreteScheduler,
  FlowMatchLCMScheduler,
  UnCLIPScheduler,
  ScoreSdeVeScheduler,
  KarrasVeScheduler,
  RePaintScheduler,
  ScoreSdeVpScheduler,
  DDPMWuerstchenScheduler,
  CogVideoXDDIMScheduler,
  CogVideoXDPMScheduler,
  CosineDPMSolverMultistepScheduler,
  SCMScheduler,
  LTXEulerAncestralRFScheduler,
);

export { schedulerClass, schedulerNames } from "./registry.js";
export { AysSchedules } from "./ays_schedules.js";
export type { Choice, Config as SchedulerConfig } from "./config.js";
export type { NoiseSource } from "./noise.js";
export type { Prediction, SigmaPrediction, UsualPrediction } from "./prediction.js";
export type { Spacing } from "./spacing.js";
export { KARRAS_SCHEDULERS, Scheduler } from "./scheduler.js";
export type { LoadOptions, ScheduleOptions, SchedulerClass, StepOptions, StepResult } from "./scheduler.js";
export { DDIMScheduler, type DDIMConfig } from "./ddim.js";
export { DDPMScheduler, type DDPMConfig } from "./ddpm.js";
export { DDIMParallelScheduler } from "./ddim_parallel.js";
export { DDPMParallelScheduler } from "./ddpm_parallel.js";
export { PNDMScheduler, type PNDMConfig } from "./pndm.js";
export { LMSDiscreteScheduler, type LMSDiscreteConfig } from "./lms_discrete.js";
export { EulerDiscreteScheduler, type EulerDiscreteConfig } from "./euler_discrete.js";
export { HeunDiscreteScheduler, type HeunDiscreteConfig } from "./heun_discrete.js";
export { EulerAncestralDiscreteScheduler, type EulerAncestralDiscreteConfig } from "./euler_ancestral_discrete.js";
export { DPMSolverMultistepScheduler, type DPMSolverMultistepConfig } from "./dpmsolver_multistep.js";
export { DPMSolverSinglestepScheduler, type DPMSolverSinglestepConfig } from "./dpmsolver_singlestep.js";
export { KDPM2DiscreteScheduler } from "./kdpm2_discrete.js";
export { KDPM2AncestralDiscreteScheduler } from "./kdpm2_ancestral_discrete.js";
export { DEISMultistepScheduler, type DEISMultistepConfig } from "./deis_multistep.js";
export { UniPCMultistepScheduler, type UniPCMultistepConfig } from "./unipc_multistep.js";
export { DPMSolverSDEScheduler, type DPMSolverSDEConfig } from "./dpmsolver_sde.js";
export { EDMEulerScheduler } from "./edm_euler.js";
export {
  DPMSolverMultistepInverseScheduler,
  type DPMSolverMultistepInverseConfig,
} from "./dpmsolver_multistep_inverse.js";
export { SASolverScheduler, type SASolverConfig } from "./sasolver.js";
export { DDIMInverseScheduler, type DDIMInverseConfig } from "./ddim_inverse.js";
export { LCMScheduler } from "./lcm.js";
export { TCDScheduler } from "./tcd.js";
export { IPNDMScheduler, type IPNDMConfig } from "./ipndm.js";
export { EDMDPMSolverMultistepScheduler, type EDMDPMSolverMultistepConfig } from "./edm_dpmsolver_multistep.js";
export { CMStochasticIterativeScheduler, type CMStochasticIterativeConfig } from "./consistency_models.js";
export { FlowMatchEulerDiscreteScheduler, type FlowMatchEulerDiscreteConfig } from "./flow_match_euler_discrete.js";
export { FlowMatchHeunDiscreteScheduler, type FlowMatchHeunDiscreteConfig } from "./flow_match_heun_discrete.js";
export { FlowMatchLCMScheduler, type FlowMatchLCMConfig } from "./flow_match_lcm.js";
export { UnCLIPScheduler, type UnCLIPConfig } from "./unclip.js";
export { ScoreSdeVeScheduler, type ScoreSdeVeConfig } from "./sde_ve.js";
export { KarrasVeScheduler, type KarrasVeConfig } from "./karras_ve.js";
export { RePaintScheduler, type RePaintConfig } from "./repaint.js";
export { ScoreSdeVpScheduler, type ScoreSdeVpConfig } from "./sde_vp.js";
export { DDPMWuerstchenScheduler, type DDPMWuerstchenConfig } from "./ddpm_wuerstchen.js";
export { CogVideoXDDIMScheduler } from "./cogvideox_ddim.js";
export type { CogVideoXConfig } from "./cogvideox_formulas.js";
export { CogVideoXDPMScheduler } from "./cogvideox_dpm.js";
export {
  CosineDPMSolverMultistepScheduler,
  type CosineDPMSolverMultistepConfig,
} from "./cosine_dpmsolver_multistep.js";
export { SCMScheduler, type SCMConfig, type SCMSchedule } from "./scm.js";
export { LTXEulerAncestralRFScheduler, type LTXEulerAncestralRFConfig } from "./ltx_euler_ancestral_rf.js";
export * from "./flax/index.js";
