"""Makes test/fixtures/schedulers/parallel_steps.json: what diffusers 0.42.1 (torch 2.13.0, CPU) computes where samples or tokens
are at timesteps of their own: DDIMParallelScheduler's and DDPMParallelScheduler's runs and batch_step_no_noise, and
FlowMatchEulerDiscreteScheduler's per_token_timesteps.

    python scripts/make_parallel_steps.py

Samples and outputs are made of the formulas `sample` and `output` below, in the test too.
"""

import json
from pathlib import Path

import diffusers
import torch

OUT = Path(__file__).parent.parent / "test/fixtures/schedulers/parallel_steps.json"
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
BATCH = {
    "DDIMParallelScheduler": [
        {},
        {**SD, "clip_sample": False, "set_alpha_to_one": False},
        {"prediction_type": "v_prediction", "clip_sample": False, "timestep_spacing": "trailing"},
        {"prediction_type": "sample", "thresholding": True, "sample_max_value": 1.5},
    ],
    "DDPMParallelScheduler": [
        {},
        {**SD, "clip_sample": False, "variance_type": "fixed_large"},
        {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
        {"prediction_type": "sample", "thresholding": True, "sample_max_value": 1.5},
        {"variance_type": "learned_range"},
    ],
}
SHAPE = [3, 4, 2, 2]
TOKENS = [2, 3, 5]
PER_TOKEN = [[1000.0, 750.0, 500.5], [333.0, 90.0, 0.0]]


def sample(shape):
    n = torch.Size(shape).numel()
    return torch.tensor([(i * 37 % 64) / 16 - 2 for i in range(n)]).reshape(shape)


def output(shape):
    n = torch.Size(shape).numel()
    return torch.tensor([(i * 23 % 32) / 16 - 1 for i in range(n)]).reshape(shape)


values = lambda x: [float(f"{v:.8g}") for v in x.flatten().tolist()]


def batch_case(name, config):
    make = getattr(diffusers, name)
    learned = config.get("variance_type") == "learned_range"
    y = output([SHAPE[0], 2 * SHAPE[1], *SHAPE[2:]] if learned else SHAPE)
    scheduler = make(**config)
    scheduler.set_timesteps(5)
    # All steps, the model saying the same at each, as DDIM and DDPM take them; DDIM with half of DDPM's noise.
    generator = torch.Generator().manual_seed(3)
    options = {"eta": 0.5} if name.startswith("DDIM") else {}
    x = sample(SHAPE)
    run = []
    for t in scheduler.timesteps:
        x = scheduler.step(y, t, x, generator=generator, **options).prev_sample
        run.append(values(x))
    # The first, a middle and the last timestep at once.
    times = [scheduler.timesteps[i].item() for i in (0, 2, 4)]
    clipped = name.startswith("DDIM") and config.get("prediction_type") is None
    extra = {"use_clipped_model_output": True} if clipped else {}
    batch = scheduler.batch_step_no_noise(y, torch.tensor(times), sample(SHAPE), **extra)
    case = {"scheduler": name, "config": config, "timesteps": scheduler.timesteps.tolist(), "run": run}
    return {**case, "times": times, "options": extra, "batch": values(batch)}


def token_case(config, mu=None):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    scheduler.set_timesteps(4, **({} if mu is None else {"mu": mu}))
    step = lambda x, i: scheduler.step(
        output(TOKENS),
        scheduler.timesteps[i],
        x,
        generator=torch.Generator().manual_seed(7),
        per_token_timesteps=torch.tensor(PER_TOKEN),
    ).prev_sample
    first = step(sample(TOKENS), 0)
    return {"config": config, "mu": mu, "per_token": PER_TOKEN, "first": values(first), "second": values(step(first, 1))}


def main():
    batches = [batch_case(name, config) for name, configs in BATCH.items() for config in configs]
    tokens = [
        token_case({}),
        token_case({"shift": 3.0}),
        token_case({"stochastic_sampling": True}),
        token_case({"use_dynamic_shifting": True}, 0.7),
    ]
    lists = {"batches": batches, "tokens": tokens}
    text = ",\n".join(f'"{key}": [\n' + ",\n".join(map(json.dumps, of)) + "\n]" for key, of in lists.items())
    OUT.write_text(f"{{\n{text}\n}}\n")


main()
