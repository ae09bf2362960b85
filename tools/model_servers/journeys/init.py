"""Make a new model's directory: one that validates and serves at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.names import like_a_name, why_not_a_name
from model_servers.core.scaffold import example as copies
from model_servers.core.scaffold import plain, weights
from model_servers.core.scaffold.documents import Order, Packed
from model_servers.errors import RequestError
from model_servers.ports import NewModels, Registry

_ENDINGS = (".pt", ".pth", ".safetensors")
_LONGEST = {"summary": 200, "license": 100, "maintainer": 100}
"""As in ``schemas/model.schema.json``."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A new model."""

    name: str
    files: tuple[str, ...]
    """Paths in its directory."""

    notes: tuple[str, ...] = ()
    """What its author must know of it."""

    must_be_recorded: bool = False
    """Its golden case has no answer yet."""


@dataclass(frozen=True, kw_only=True)
class Init:
    """The journey, with everything it touches passed in."""

    registry: Registry
    new_models: NewModels
    read_checkpoint: Callable[[Path], CheckpointFacts]

    def plain(self, order: Order) -> Made:
        """Make a model without a checkpoint, whose answers are known."""
        self._check(order)
        texts = plain.files(order)
        with self.new_models.staged(order.name) as stage:
            for path, text in texts.items():
                stage.write(path, text)
        return Made(name=order.name, files=tuple(sorted(texts)))

    def from_checkpoint(self, order: Order, source: Path) -> Made:
        """Make a model around a checkpoint, which is read but never executed."""
        self._check(order)
        facts = self._facts(source)
        file = f"checkpoint{source.suffix}"
        is_torchscript = facts.format == "torchscript"
        network = None if is_torchscript else _network(facts, source)
        with self.new_models.staged(order.name) as stage:
            digests = stage.copy(file, source)
            packed = Packed(
                extra_files=() if is_torchscript else ("network.py",),
                checkpoint=file,
                sha256=digests.sha256,
                size_bytes=digests.size_bytes,
            )
            if network is None:
                sample = weights.torchscript_sample(facts)
                texts = weights.torchscript_files(order, sample, packed)
            else:
                texts = weights.files(order, network, packed)
            for path, text in texts.items():
                stage.write(path, text)
        return Made(
            name=order.name,
            files=tuple(sorted([*texts, file])),
            notes=weights.notes(network),
            must_be_recorded=True,
        )

    def from_example(self, order: Order, example: str) -> Made:
        """Make a model that starts as a copy of another in the registry."""
        self._check(order)
        read = self.registry.read(example)
        if read.model is None or any(one.leaves_model for one in read.files.values()):
            raise RequestError(
                f"{example} cannot be copied: it has findings",
                hint=f"ms validate {example}",
            )
        paths = [path for path in read.files if copies.is_copied(path)]
        with self.new_models.staged(order.name) as stage:
            for path in paths:
                source = self.registry.path(example, path)
                if copies.is_changed(path):
                    text = source.read_text("utf-8")
                    text = copies.changed(path, text, example=example, order=order)
                    stage.write(path, text)
                else:
                    stage.copy(path, source)
        return Made(name=order.name, files=tuple(sorted(paths)))

    def _check(self, order: Order) -> None:
        reason = why_not_a_name(order.name)
        if reason is not None:
            near = like_a_name(order.name)
            raise RequestError(
                f"{order.name!r} cannot name a model: {reason}",
                hint="choose another name" + (f", such as {near}" if near else ""),
            )
        self.registry.names()  # says so if there is no registry
        _check_text("summary", order.summary)
        _check_text("license", order.license)
        for maintainer in order.maintainers:
            _check_text("maintainer", maintainer)

    def _facts(self, source: Path) -> CheckpointFacts:
        if source.suffix not in _ENDINGS:
            raise RequestError(
                f"{source.name!r} is no checkpoint by its name; expected one that ends"
                f" in {', '.join(_ENDINGS)}",
                hint="save it as .pt: torch.save(model.state_dict(), path)",
            )
        if not source.is_file():
            raise RequestError(f"there is no file {source}", hint="correct the path")
        facts = self.read_checkpoint(source)
        if facts.problem is not None:
            raise _no_checkpoint(source, facts.problem)
        return facts


def _network(facts: CheckpointFacts, source: Path) -> weights.Network:
    try:
        return weights.Network.of(facts)
    except ValueError as error:
        raise _no_checkpoint(source, str(error)) from error


def _no_checkpoint(source: Path, reason: str) -> RequestError:
    return RequestError(
        f"{source.name} is no state_dict of a model: {reason}",
        hint="save one with torch.save(model.state_dict(), path)",
    )


def _check_text(what: str, text: str | None) -> None:
    if text is None:
        return
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST[what]:
        raise RequestError(
            f"the {what} {text[:60]!r} is not one line of 1 to {_LONGEST[what]}"
            " printable characters",
            hint=f"correct --{what}",
        )
