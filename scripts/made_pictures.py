"""Pictures that the tests of the pipelines begin with, made without files."""
import numpy as np
import torch
from PIL import Image


def pixels(width, height, channels=3):
    """As test/support/pictures.ts."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    return ((x * 7 + y * 13 + c * 40 + (x * y) % 31) % 256).astype(np.uint8)


def picture(width, height, channels=3):
    array = pixels(width, height, channels)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


def tensor(width, height):
    return torch.from_numpy(pixels(width, height).astype(np.float32) / 255).permute(2, 0, 1)[None]


def mask_picture(width, height, box, mode="L"):
    """White in the box, else black; in colours it is yellow, whose grey is white enough, on dark red."""
    x1, y1, x2, y2 = box
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y1:y2, x1:x2] = 255
    if mode == "L":
        return Image.fromarray(mask)
    return Image.fromarray(np.stack([np.maximum(mask, 90), mask, np.zeros_like(mask)], axis=-1))
