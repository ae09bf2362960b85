"""The body is float32 values."""

import torch


def to_sample(value):
    return torch.frombuffer(value, dtype=torch.float32)
