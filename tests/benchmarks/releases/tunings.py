"""What moves of a checkpoint whose predecessor is here, by how it was trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from model_servers.adapters.file_digests import digest_file
from model_servers.core.delta import Wanted, plan_gets

Weights = dict[str, torch.Tensor]
_WIDTH, _LAYERS, _WORDS = 640, 10, 3000


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What one successor costs."""

    changed_bytes: int
    """Of the tensors that differ."""

    fetched_bytes: int
    reads: int
    file_bytes: int


def measure(folder: Path) -> dict[str, Moved]:
    """Save a transformer of 200 MB and its successors; compare their segments."""
    base = _weights()
    kinds: dict[str, Callable[[Weights], Weights]] = {
        "last layer": lambda old: old | _retrained(old, "head"),
        "one layer": lambda old: old | _retrained(old, "layers.4."),
        "merged low-rank update of q and v": _low_rank,
        "full fine-tune": lambda old: old | _retrained(old, ""),
        "saved again": lambda old: old,
    }
    found = {kind: _moved(folder, base, change(base)) for kind, change in kinds.items()}
    other_name = _moved(folder, base, base, name="renamed.pt")
    return {**found, "saved again under another name": other_name}


def _weights() -> Weights:
    torch.manual_seed(1)
    wide = 4 * _WIDTH
    shapes = {"embedding": (_WORDS, _WIDTH), "head": (1000, _WIDTH)}
    for layer in range(_LAYERS):
        at = f"layers.{layer}."
        shapes |= {f"{at}{name}": (_WIDTH, _WIDTH) for name in ("q", "k", "v", "o")}
        shapes |= {f"{at}up": (wide, _WIDTH), f"{at}down": (_WIDTH, wide)}
        shapes |= {f"{at}norm{n}": (_WIDTH,) for n in (1, 2)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def _retrained(old: Weights, prefix: str) -> Weights:
    return {
        name: tensor + torch.randn_like(tensor) / 200
        for name, tensor in old.items()
        if name.startswith(prefix)
    }


def _low_rank(old: Weights) -> Weights:
    return old | {
        name: tensor + torch.randn(_WIDTH, 8) @ torch.randn(8, _WIDTH) / 100
        for name, tensor in old.items()
        if name.endswith((".q", ".v"))
    }


def _moved(folder: Path, old: Weights, new: Weights, name: str = "model.pt") -> Moved:
    before = digest_file(_saved(folder / "old", old, "model.pt"))
    path = _saved(folder / "new", new, name)
    after = digest_file(path)
    known = {segment.blake3 for segment in before.segments}
    wanted = [
        Wanted(segment, str(path), 0, name)
        for segment in after.segments
        if segment.blake3 not in known
    ]
    changed = [at for at, tensor in new.items() if not torch.equal(tensor, old[at])]
    return Moved(
        changed_bytes=sum(4 * new[at].numel() for at in changed),
        fetched_bytes=sum(one.segment.length for one in wanted),
        reads=len(plan_gets(wanted)),
        file_bytes=after.size_bytes,
    )


def _saved(folder: Path, weights: Weights, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(weights, folder / name)
    return folder / name
