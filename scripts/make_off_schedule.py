"""Makes test/fixtures/schedulers/off_schedule.json: steps at timesteps that are not in the schedule, at 0 and 1, and before
set_timesteps, as diffusers 0.42.1 (torch 2.13.0, CPU; scipy and torchsde for two classes) computes them; and with --flax
off_schedule_flax.json, as diffusers 0.30.3's Flax classes do (jax 0.4.31).

    python scripts/make_off_schedule.py [--flax]

A case is [class, steps or null, timestep, values of the first step, of the second]: null where Python raises, none where it
computes NaN. Timesteps "first", "second" and "last" are those of the schedule. SAMPLE and OUTPUT stand in the test.
"""

import json
import math
import sys
from pathlib import Path

OUT = Path(__file__).parent.parent / "test/fixtures/schedulers"
SAMPLE = [0.5, -1.0, 0.25, 2.0]
OUTPUT = [0.1, 0.2, -0.3, 0.4]
TIMES = ["first", "second", "last", 0, 1, 555, 555.5, 999, 1000, -1]
CLASSES = (
    "DDIM DDIMInverse DDIMParallel DDPM DDPMParallel PNDM LMSDiscrete EulerDiscrete EulerAncestralDiscrete HeunDiscrete KDPM2Discrete "
    "KDPM2AncestralDiscrete DPMSolverMultistep DPMSolverMultistepInverse DPMSolverSinglestep DPMSolverSDE DEISMultistep "
    "UniPCMultistep SASolver LCM TCD IPNDM EDMEuler EDMDPMSolverMultistep FlowMatchEulerDiscrete FlowMatchHeunDiscrete "
    "FlowMatchLCM CMStochasticIterative UnCLIP ScoreSdeVe RePaint ScoreSdeVp DDPMWuerstchen CogVideoXDDIM CogVideoXDPM "
    "CosineDPMSolverMultistep SCM LTXEulerAncestralRF"
).split()
FLAX_CLASSES = "DDIM DDPM PNDM DPMSolverMultistep".split()
# jax takes another timestep for these; a time before 0 has no meaning; the halves of DPMSolverSDE are next to timesteps.
# SDE-Vp has no finite numbers at times up to 0.
LEFT_OUT = {"ScoreSdeVe": [-1], "ScoreSdeVp": [0, -1], "DPMSolverSDE": [555.5], **{name: [555.5, 1000, -1] for name in FLAX_CLASSES}}
CONFIGS = {"DPMSolverSDE": {"noise_sampler_seed": 0}}
PLACES = {"first": 0, "second": 1, "last": -1}


def values(x):
    numbers = [float(f"{v:.7g}") for v in x.flatten().tolist()]
    return [] if any(math.isnan(v) for v in numbers) else numbers


def twice(step, x):
    """Two steps at one timestep; whatever Python raises is part of the answer."""
    results = [None, None]
    for i in range(2):
        try:
            x = step(x)
        except Exception as error:
            print(f"    {type(error).__name__}: {error}"[:110], file=sys.stderr)
            break
        results[i] = values(x)
    return results


def torch_case(name, steps, time):
    import inspect

    import diffusers
    import diffusers.schedulers.deprecated
    import torch

    tensor = lambda v: torch.tensor(v).reshape(1, 4, 1, 1)
    make = getattr(diffusers if hasattr(diffusers, f"{name}Scheduler") else diffusers.schedulers.deprecated, f"{name}Scheduler")
    scheduler = make(**CONFIGS.get(name, {}))
    if steps:
        scheduler.set_timesteps(steps, **({"intermediate_timesteps": None} if name == "SCM" else {}))
        if name == "ScoreSdeVe":
            scheduler.set_sigmas(steps)
    if time in PLACES and getattr(scheduler, "timesteps", None) is None:
        return [None, None]
    t = scheduler.timesteps[PLACES[time]] if time in PLACES else torch.tensor(time)
    step = scheduler.step_pred if name.startswith("ScoreSde") else scheduler.step
    takes = inspect.signature(step).parameters
    options = {"generator": torch.Generator().manual_seed(0)} if "generator" in takes else {}
    # Some classes refuse integers, which may be indices by mistake; TypeScript has no such type.
    whole = name.startswith("Euler") or name.startswith(("FlowMatch", "LTX")) or name.startswith("EDMEuler") or name[:2] == "CM"
    if whole and not t.is_floating_point():
        t = t.float()
    if name == "RePaint":
        options.update(original_image=tensor([-0.5, -0.25, 0.0, 0.25]), mask=torch.full((1, 1, 1, 1), 0.25))
    if name == "ScoreSdeVp":
        return twice(lambda x: scheduler.step_pred(tensor(OUTPUT), x, t, **options)[0], tensor(SAMPLE))
    if name == "CogVideoXDPM":
        return twice(lambda x: step(tensor(OUTPUT), None, t, None, x, **options)[0], tensor(SAMPLE))
    if name == "DDPMWuerstchen":
        t = t.float()[None]
    return twice(lambda x: step(tensor(OUTPUT), t, x, **options).prev_sample, tensor(SAMPLE))


def flax_case(name, steps, time):
    import importlib

    import jax.numpy as jnp

    module = "dpmsolver_multistep" if name.startswith("DPM") else name.lower()
    classes = importlib.import_module(f"diffusers.schedulers.scheduling_{module}_flax")
    scheduler = getattr(classes, f"Flax{name}Scheduler")()
    state = scheduler.create_state()
    shape = (1, 4, 1, 1)
    if steps:
        state = scheduler.set_timesteps(state, steps, shape)
    t = int(state.timesteps[PLACES[time]]) if time in PLACES else time
    output = jnp.array(OUTPUT).reshape(shape)

    def step(x):
        nonlocal state
        # Noise is compared elsewhere: at timesteps above 0 DDPM's is that of another key than ours.
        result = scheduler.step(state, output, t, x)
        state = result.state
        return result.prev_sample

    return twice(step, jnp.array(SAMPLE).reshape(shape))


def main():
    flax = "--flax" in sys.argv
    cases = []
    for name in FLAX_CLASSES if flax else CLASSES:
        for steps in (None, 10):
            for time in TIMES:
                if time in LEFT_OUT.get(name, []) and (flax or name not in FLAX_CLASSES):
                    continue
                print(name, steps, time, file=sys.stderr)
                case = flax_case if flax else torch_case
                cases.append([f"{'Flax' if flax else ''}{name}Scheduler", steps, time, *case(name, steps, time)])
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / f"off_schedule{'_flax' if flax else ''}.json").write_text(f"[\n{lines}\n]\n")


main()
