"""Reads a handwritten digit: the functions the shared handler calls."""

import torch
from PIL import Image

from base_handler import handler_factory
from digits_model.images import from_image, from_rows
from digits_model.network import DigitNetwork


def init_function() -> torch.nn.Module:
    return DigitNetwork()


def preprocess(data: object) -> torch.Tensor:
    """Give one request's pixels, shape ``(1, 8, 8)``."""
    if isinstance(data, Image.Image):
        return from_image(data)
    if isinstance(data, list):
        return from_rows(data)
    raise ValueError(
        f"found {type(data).__name__}; expected a PNG or JPEG image, "
        "or a JSON list of 8 rows of 8 numbers from 0 to 16, or of all 64"
    )


def postprocess(logits: torch.Tensor) -> dict[str, object]:
    """Give the answer for one image from its ten logits."""
    probabilities = [round(p, 6) for p in logits.softmax(dim=0).tolist()]
    digit = int(logits.argmax())
    return {
        "digit": digit,
        "probability": probabilities[digit],
        "probabilities": probabilities,
    }


handler = handler_factory(
    init_function=init_function,
    preprocess_function=preprocess,
    postprocess_function=postprocess,
)
