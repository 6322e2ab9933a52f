"""Weights that are made from their keys and not stored, as test/support/made_weights.ts makes them, bit for bit."""
import math

import numpy as np
import torch


def fnv(text):
    h = 2166136261
    for byte in text.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def uniform(key, size):
    """In [-1, 1): a hash of the key and the position."""
    x = (np.arange(size, dtype=np.uint64) * 0x9E3779B9 + fnv(key)) & 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return x.astype(np.float64) / 2**31 - 1


def made(key, shape):
    u = uniform(key, math.prod(shape))
    if key == "time_proj.weight" and len(shape) == 1:
        u = u * 8
    elif len(shape) >= 2 and "positional" not in key:
        u = u * math.sqrt(3 / math.prod(shape[1:]))
    elif key.endswith("weight"):
        u = 1 + 0.3 * u
    else:
        u = 0.2 * u
    return torch.from_numpy(u.astype(np.float32).reshape(shape))
