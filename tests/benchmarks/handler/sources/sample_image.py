"""The body is a JPEG; the shared handler has decoded it already."""

import io

import numpy as np
import torch
from PIL import Image


def to_sample(value):
    image = value if isinstance(value, Image.Image) else Image.open(io.BytesIO(value))
    pixels = np.array(image.convert("RGB").resize((64, 64)), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)
