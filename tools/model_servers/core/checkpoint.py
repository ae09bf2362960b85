"""What a checkpoint's file says of itself, read without executing anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a checkpoint."""

    name: str
    dtype: str
    """As torch writes it, without ``torch.``: ``float32``, ``bfloat16``, ``int64``."""

    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """A checkpoint as read."""

    format: str
    """``torch``, ``safetensors`` or ``torchscript``."""

    tensors: tuple[Tensor, ...] = ()
    """In the order of the file."""

    globals: tuple[str, ...] = ()
    """What a pickle in it names."""

    problem: str | None = None
    """Why it is no checkpoint that the handler loads; None if it is one."""
