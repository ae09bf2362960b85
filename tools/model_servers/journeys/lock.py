"""Write down what a model is made of: its checkpoint's digest, exact versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_servers.core.contribution import MODEL_FILE
from model_servers.core.pins import pinned, unpinned
from model_servers.core.yaml_text import with_block, with_key, with_scalar
from model_servers.errors import RequestError
from model_servers.ports import ModelTexts, Registry


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A document of a model that is not locked yet."""

    path: str
    after: str
    """Its text, locked."""

    summary: tuple[str, ...]
    """What changes, a line each."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The lock journey, with everything it touches passed in."""

    registry: Registry
    texts: ModelTexts
    resolve: Callable[[Path], Mapping[str, str]]
    """Gives the version of each package that pip would install for a file."""

    def plan(self, name: str) -> list[Edit]:
        """Say what locking would change; nothing is written."""
        text = self.texts.read(name, MODEL_FILE)
        data, _ = self.texts.parse(name, MODEL_FILE, text)
        build = data.get("build") if isinstance(data, dict) else None
        if not isinstance(build, dict):
            raise RequestError(
                f"{name}/{MODEL_FILE} does not say what the model is built from",
                hint=f"ms validate {name}",
            )
        edits = []
        if isinstance(checkpoint := build.get("checkpoint_file"), str):
            edits += self._checkpoint(name, text, data, checkpoint)
        if isinstance(requirements := build.get("requirements_file"), str):
            edits += self._requirements(name, requirements)
        return edits

    def apply(self, name: str, edits: list[Edit]) -> None:
        """Write what was planned, one file after the other; can be run again."""
        for edit in edits:
            self.texts.replace(name, edit.path, edit.after)

    def _checkpoint(
        self, name: str, text: str, data: dict[str, Any], path: str
    ) -> list[Edit]:
        self._demand(name, path)
        digests = self.registry.digests(name, path)
        wanted = {"sha256": digests.sha256, "size": digests.size_bytes}
        declared = data.get("checkpoint", {})
        if isinstance(declared, dict) and declared == {**declared, **wanted}:
            return []
        try:
            after = self._declared(name, text, wanted)
            found, _ = self.texts.parse(name, MODEL_FILE, after)
        except (RequestError, ValueError):
            after, found = text, None
        if found is None or found != {**data, "checkpoint": {**declared, **wanted}}:
            raise RequestError(
                f"{name}/{MODEL_FILE} writes checkpoint in a way that is not edited",
                hint=f"write sha256: {digests.sha256} and size: {digests.size_bytes} "
                "below checkpoint yourself",
            )
        size = f"checkpoint.size: {digests.size_bytes}"
        summary = (f"checkpoint.sha256: {digests.sha256}", size)
        return [Edit(path=MODEL_FILE, after=after, summary=summary)]

    def _declared(self, name: str, text: str, wanted: Mapping[str, Any]) -> str:
        """Give the text with the block ``checkpoint:`` as wanted."""
        lines = [("sha256", f'"{wanted["sha256"]}"'), ("size", str(wanted["size"]))]
        _, places = self.texts.parse(name, MODEL_FILE, text)
        if "checkpoint" not in places:
            return with_block(text, "checkpoint", lines)
        for key, written in lines:
            place = f"checkpoint.{key}"
            if place in places:
                text = with_scalar(text, places, place, wanted[key])
            else:
                text = with_key(text, places, "checkpoint", (key, written))
            _, places = self.texts.parse(name, MODEL_FILE, text)
        return text

    def _requirements(self, name: str, path: str) -> list[Edit]:
        self._demand(name, path)
        text = self.texts.read(name, path)
        names = unpinned(text)
        if not names:
            return []
        versions = self.resolve(self.registry.path(name, path))
        after = pinned(text, versions)
        if after == text:
            return []
        summary = tuple(f"{one}=={versions[one]}" for one in names if one in versions)
        return [Edit(path=path, after=after, summary=summary)]

    def _demand(self, name: str, path: str) -> None:
        if path not in self.registry.read(name).files:
            raise RequestError(
                f"{name}/{path} is not there", hint="add the file, or correct the path"
            )
