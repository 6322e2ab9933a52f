"""Makes test/fixtures/schedulers/runs.json: runs of the schedulers whose steps are called in ways of their own, or end before the last
timestep, as diffusers 0.42.1 (torch 2.13.0, CPU; torchsde for one class) computes them.

    python scripts/make_scheduler_runs.py

The model is `predict`, in test/schedulers/runs.test.ts, too.
"""

import json
from pathlib import Path

import diffusers
import diffusers.schedulers.deprecated
import torch

OUT = Path(__file__).parent.parent / "test/fixtures/schedulers/runs.json"
SHAPE = [2, 3, 2, 2]
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
V = {"prediction_type": "v_prediction"}
# Configs and arguments of set_timesteps.
COGVIDEOX = [
    ({}, {"num_inference_steps": 5}),
    ({**V, "timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "snr_shift_scale": 1.0}, {"num_inference_steps": 4}),
    ({"prediction_type": "sample", "timestep_spacing": "linspace", "set_alpha_to_one": False}, {"num_inference_steps": 6}),
    ({**V, "beta_schedule": "linear", "snr_shift_scale": 2.0, "steps_offset": 1}, {"num_inference_steps": 5}),
    ({**V, "beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True}, {"num_inference_steps": 3}),
    ({**V, "trained_betas": [0.001 * (1 + i) for i in range(40)], "num_train_timesteps": 40}, {"num_inference_steps": 4}),
]
CASES = {
    "CogVideoXDDIMScheduler": COGVIDEOX,
    "CogVideoXDPMScheduler": COGVIDEOX,
    "CosineDPMSolverMultistepScheduler": [
        ({}, {"num_inference_steps": 6}),
        ({"solver_type": "heun", "sigma_max": 80.0}, {"num_inference_steps": 16}),
        ({"sigma_schedule": "karras", "sigma_max": 80.0}, {"num_inference_steps": 5}),
        ({"solver_order": 1, "sigma_data": 0.5}, {"num_inference_steps": 4}),
        ({"prediction_type": "epsilon", "lower_order_final": False}, {"num_inference_steps": 5}),
        ({"euler_at_final": True, "solver_type": "bh2"}, {"num_inference_steps": 5}),
    ],
    "DDPMWuerstchenScheduler": [
        ({}, {"num_inference_steps": 6}),
        ({"scaler": 2.0}, {"num_inference_steps": 5}),
        ({"scaler": 0.5, "s": 0.1}, {"num_inference_steps": 4}),
        ({}, {"timesteps": [1.0, 0.6, 0.31, 0.1]}),
    ],
    "KarrasVeScheduler": [
        ({}, {"num_inference_steps": 4}),
        ({"sigma_max": 3.0, "s_churn": 0}, {"num_inference_steps": 5}),
        ({"sigma_min": 0.1, "sigma_max": 8.0, "s_noise": 1.0, "s_churn": 1.5, "s_min": 0.5}, {"num_inference_steps": 6}),
    ],
    "LTXEulerAncestralRFScheduler": [
        ({}, {"num_inference_steps": 5}),
        ({"eta": 0.3, "s_noise": 0.7}, {"num_inference_steps": 4}),
        ({"eta": 0.0}, {"num_inference_steps": 4}),
        ({}, {"sigmas": [1.0, 0.9, 0.5, 0.2, 0.0]}),
        ({"num_train_timesteps": 500}, {"timesteps": [0.95, 0.4, 0.1]}),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_karras_sigmas": True}, {"num_inference_steps": 5}),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}, {"num_inference_steps": 4, "mu": 0.8}),
    ],
    "RePaintScheduler": [
        ({}, {"num_inference_steps": 6, "jump_length": 2, "jump_n_sample": 2}),
        ({**SD, "eta": 1.0, "clip_sample": False}, {"num_inference_steps": 50, "jump_length": 20, "jump_n_sample": 1}),
        ({"beta_schedule": "sigmoid", "eta": 0.5}, {"num_inference_steps": 4, "jump_length": 1, "jump_n_sample": 3}),
        ({"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 8}, {"num_inference_steps": 20, "jump_length": 5}),
    ],
    "SCMScheduler": [
        ({}, {"num_inference_steps": 2}),
        ({"sigma_data": 1.0}, {"num_inference_steps": 2, "max_timesteps": 1.4, "intermediate_timesteps": 0.7}),
        ({}, {"num_inference_steps": 2, "intermediate_timesteps": None}),
        ({}, {"num_inference_steps": 4, "intermediate_timesteps": None}),
        ({}, {"num_inference_steps": 3, "timesteps": [1.5, 1.1, 0.6, 0.1], "max_timesteps": None, "intermediate_timesteps": None}),
    ],
    "ScoreSdeVpScheduler": [
        ({}, {"num_inference_steps": 5}),
        ({"beta_min": 0.5, "beta_max": 12.5, "sampling_eps": 0.05}, {"num_inference_steps": 8}),
    ],
}


def predict(x, t):
    return 0.5 * x / (1 + 0.1 * x.abs()) + torch.as_tensor(t, dtype=torch.float32) / 1000 * 0.1


def start(shape=SHAPE):
    """Also the picture to keep; the mask has one channel."""
    n = torch.Size(shape).numel()
    return torch.tensor([(i * 37 % 64) / 16 - 2 for i in range(n)]).reshape(shape)


def plain(scheduler, x, generator):
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(predict(seen, t), t, x, generator=generator)[0]
        yield x


def before_the_last(scheduler, x, generator):
    for t in scheduler.timesteps[:-1]:
        times = t.expand(x.shape[0]) if isinstance(scheduler, diffusers.DDPMWuerstchenScheduler) else t
        x = scheduler.step(predict(x, t), times, x, generator=generator)[0]
        yield x


def dpm(scheduler, x, generator):
    old = None
    for i, t in enumerate(scheduler.timesteps):
        back = scheduler.timesteps[i - 1] if i > 0 else None
        x, old = scheduler.step(predict(x, t), old, t, back, x, generator=generator)
        yield x


def deterministic(scheduler, x, generator):
    for t in scheduler.timesteps:
        x = scheduler.step(predict(x, t), t, x, eta=0.5, generator=generator)[0]
        yield x


def karras(scheduler, x, generator):
    for t in scheduler.timesteps:
        sigma, before = scheduler.schedule[t], scheduler.schedule[t - 1] if t > 0 else 0
        hat, sigma_hat = scheduler.add_noise_to_input(x, sigma, generator=generator)
        step = scheduler.step(predict(hat, sigma_hat), sigma_hat, before, hat)
        if before != 0:
            output = predict(step.prev_sample, before)
            step = scheduler.step_correct(output, sigma_hat, before, hat, step.prev_sample, step.derivative)
        x = step.prev_sample
        yield x


def repaint(scheduler, x, generator):
    image = start() / 2
    mask = (start([2, 1, 2, 2]) + 2) / 4
    last = scheduler.timesteps[0] + 1
    for t in scheduler.timesteps:
        if t < last:
            x = scheduler.step(predict(x, t), t, x, image, mask, generator)[0]
        else:
            x = scheduler.undo_step(x, last, generator)
        last = t
        yield x


def sde_vp(scheduler, x, generator):
    for t in scheduler.timesteps:
        x, _ = scheduler.step_pred(predict(x, t), x, t, generator=generator)
        yield x


LOOPS = {
    "CogVideoXDDIMScheduler": deterministic,
    "CogVideoXDPMScheduler": dpm,
    "DDPMWuerstchenScheduler": before_the_last,
    "KarrasVeScheduler": karras,
    "RePaintScheduler": repaint,
    "SCMScheduler": before_the_last,
    "ScoreSdeVpScheduler": sde_vp,
}
rounded = lambda x: [float(f"{v:.7g}") for v in x.flatten().tolist()]


def run(name, config, given, seeds=(3,)):
    make = getattr(diffusers if hasattr(diffusers, name) else diffusers.schedulers.deprecated, name).from_config
    scheduler = make(config)
    scheduler.set_timesteps(**given)
    case = dict(scheduler=name, config=config, set=given, timesteps=rounded(scheduler.timesteps))
    if getattr(scheduler, "sigmas", None) is not None:
        case["sigmas"] = rounded(scheduler.sigmas)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    # Latents of the first level; diffusers' classes of flows and of SDE-Vp have no init_noise_sigma.
    x = start() * getattr(scheduler, "init_noise_sigma", 1.0)
    generator = generators if len(seeds) > 1 else generators[0]
    steps = [rounded(x) for x in LOOPS.get(name, plain)(scheduler, x, generator)]
    # As many numbers must have been drawn; of long runs the first and the last steps are kept.
    kept = steps if len(steps) < 10 else [*steps[:3], *steps[-2:]]
    case.update(seeds=list(seeds), steps=kept, after=torch.randn(2, generator=generators[0]).tolist())
    if hasattr(scheduler, "add_noise") and name not in ("KarrasVeScheduler", "RePaintScheduler"):
        fresh = make(config)
        fresh.set_timesteps(**given)
        times = fresh.timesteps[[1, 0]]
        case["noisy"] = rounded(fresh.add_noise(start(), start().flip(0), times))
    return case


def main():
    cases = [run(name, *each) for name, cases in CASES.items() for each in cases]
    cases += [run("CosineDPMSolverMultistepScheduler", {}, {"num_inference_steps": 4}, (5, 6)), run("CogVideoXDPMScheduler", *COGVIDEOX[0], (5, 6))]
    OUT.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
