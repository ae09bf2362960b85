"""The registry in a checkout: reads ``registry/<model>/`` and hashes its files."""

from __future__ import annotations

import difflib
import os
import posixpath
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from model_servers.adapters import checkpoint_file, documents, git, texts
from model_servers.adapters.file_digests import digest_file
from model_servers.adapters.listing import list_files
from model_servers.core.channels import CHANNELS_FILE
from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.contribution import (
    MODEL_FILE,
    Contribution,
    Digests,
    Document,
)
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import below
from model_servers.core.lifecycle import LIFECYCLE_FILE
from model_servers.core.rules import is_case
from model_servers.core.rules.texts import scan
from model_servers.errors import OutsideError, RequestError

_MAX_NAMES = 20
_MAX_BYTES = {
    "model": 100_000,
    "model-config": 100_000,
    "channels": 100_000,
    "lifecycle": 100_000,
    "golden": texts.MAX_TEXT_BYTES,
}
_MAX_SOURCE_BYTES = 200_000
_MAX_REQUIREMENTS_BYTES = 100_000
"""Far above what anybody writes, and read within a second."""

_MAX_SCANNED_BYTES = 8 * 2**20
"""More text in one model is data; looking through it would take seconds."""


class Checkout:
    """The models below one ``registry/`` directory."""

    def __init__(
        self, root: Path, *, digest: Callable[[Path], Digests] = digest_file
    ) -> None:
        self._root = root
        # A run reads a file once, however many journeys ask for its digest.
        self._digests = cache(digest)

    def names(self) -> list[str]:
        """List the models, by name; hidden and ``_`` directories are none."""
        try:
            with os.scandir(self._root) as found:
                return sorted(
                    entry.name
                    for entry in found
                    if _can_be_a_model(entry.name) and entry.is_dir()
                )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RequestError(
                f"there is no registry at {self._root.absolute()}",
                hint="run ms in a checkout, or name the directory with --registry",
            ) from error
        except OSError as error:
            raise OutsideError(
                f"{self._root} cannot be read: {error.strerror}",
                hint="correct the permissions of the directory",
            ) from error

    def read(self, name: str) -> Contribution:
        """Read one model's documents and list its files."""
        # Asking for one directory costs the same in a registry of any size.
        if "/" in name or not _can_be_a_model(name) or not (self._root / name).is_dir():
            names = self.names()
            # Shells complete a path, and people paste one.
            named = [part for part in PurePath(name).parts if part in names]
            near = named[-1:] or difflib.get_close_matches(name, names, cutoff=0.7)
            raise RequestError(
                f"there is no model {name!r} in {self._root}",
                hint=f"did you mean {' or '.join(map(repr, near))}?"
                if near
                else f"models here: {_some(names)}",
            )
        return _Reader(self._root / name, f"{self._root.name}/{name}").contribution()

    def digests(self, name: str, path: str) -> Digests:
        """Hash one file of a model, at most once."""
        return self._digests(self.path(name, path))

    def sha256(self, name: str, path: str) -> str:
        """Give the sha256 of one file of a model."""
        return self.digests(name, path).sha256

    def checkpoint(
        self, name: str, path: str, *, fetch: bool = True
    ) -> CheckpointFacts:
        """Say what one file of a model holds as a checkpoint; executes nothing."""
        del fetch  # every file is here
        return checkpoint_file.read(self.path(name, path))

    def path(self, name: str, path: str) -> Path:
        """Say where one file of a model is."""
        return self._root / name / path

    def commit(self) -> str | None:
        """Give the commit of the checkout, if the registry is as committed."""
        return git.commit(self._root)


def _can_be_a_model(name: str) -> bool:
    return bool(name) and "\0" not in name and not name.startswith((".", "_"))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES]) or "none"
    more = len(names) - _MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


class _Reader:
    """Reads one model's directory, collecting what is wrong with its shape."""

    def __init__(self, directory: Path, shown_as: str) -> None:
        self._directory = directory
        self._shown_as = shown_as
        self._findings: list[Finding] = []
        self._read: set[str] = set()
        listing = list_files(directory)
        self._is_listed = "." not in listing.unreadable
        self._files = {
            path: facts for path, facts in listing.files.items() if self._is_plain(path)
        }
        for path, reason in listing.unreadable.items():
            self._found(
                Code.UNREADABLE,
                path,
                f"the directory cannot be listed: {reason}",
                fix="correct its permissions",
            )
        for path in filter(self._is_plain, listing.dead_links):
            self._found(
                Code.DEAD_LINK,
                path,
                "the link leads to nothing, or to itself",
                fix="correct the link, or delete it",
            )

    def contribution(self) -> Contribution:
        """Read everything that ``model.yaml`` names."""
        model = self._document(MODEL_FILE, "model")
        self._look_at_the_directory()
        build: dict[str, Any] = dict(model.data["build"]) if model else {}
        golden = model.data.get("golden", "golden") if model else "golden"
        cases = [path for path in below(golden, self._files) if is_case(path, golden)]
        documents_read = [self._document(case, "golden") for case in sorted(cases)]
        config = self._document(build.get("config_file"), "model-config")
        channels = self._document(CHANNELS_FILE, "channels")
        lifecycle = self._document(LIFECYCLE_FILE, "lifecycle")
        model_source = self._text(build.get("model_file"), _MAX_SOURCE_BYTES)
        requirements = self._text(
            build.get("requirements_file"), _MAX_REQUIREMENTS_BYTES
        )
        self._look_at_the_rest()
        return Contribution(
            name=self._directory.name,
            root=self._shown_as,
            files=self._files,
            model=model,
            config=config,
            golden=tuple(case for case in documents_read if case is not None),
            channels=channels,
            lifecycle=lifecycle,
            model_source=model_source,
            requirements=requirements,
            findings=tuple(self._findings),
        )

    def _look_at_the_directory(self) -> None:
        if self._directory.is_symlink():
            self._found(
                Code.OUTSIDE_MODEL,
                "",
                "the model's directory is a link",
                fix="replace the link by a copy",
            )
        if MODEL_FILE not in self._files and self._is_listed:
            self._found(
                Code.MISSING_FILE,
                MODEL_FILE,
                f"the directory has no {MODEL_FILE}",
                fix=f"write {MODEL_FILE}; registry/digits has an example",
            )
        if MODEL_FILE in self._files and self._files[MODEL_FILE].leaves_model:
            self._found(
                Code.OUTSIDE_MODEL,
                MODEL_FILE,
                "the file is a link to a directory, or out of the model's directory",
                fix="replace the link by a copy",
            )

    def _is_plain(self, path: str) -> bool:
        """Say whether a file's name can stand in an archive; if not, that is found."""
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode(errors="surrogateescape").decode(errors="replace")
            self._found(
                Code.UNREADABLE,
                shown,
                "the file's name is not UTF-8",
                fix="rename the file",
            )
            return False
        return True

    def _document(self, path: str | None, schema: str) -> Document | None:
        text = self._text(path, _MAX_BYTES[schema])
        if path is None or text is None:
            return None
        document, findings = documents.load(
            text, schema=schema, path=path, shown_as=f"{self._shown_as}/{path}"
        )
        self._findings += findings
        return document

    def _text(self, path: str | None, at_most_bytes: int) -> str | None:
        """Read a file that belongs to the model; None if there is none."""
        if path is None:
            return None
        path = posixpath.normpath(path)
        if path not in self._files or self._files[path].leaves_model:
            return None
        try:
            text = texts.read(self._directory / path, at_most_bytes=at_most_bytes)
        except texts.NotTextError as error:
            self._found(Code.UNREADABLE, path, str(error), fix=error.fix)
            text = None
        self._scan(path, text or "")
        return text

    def _look_at_the_rest(self) -> None:
        """Look at every text that no document names, one after the other."""
        budget_bytes = _MAX_SCANNED_BYTES
        for path, facts in self._files.items():
            if budget_bytes <= 0:
                return
            if path in self._read or facts.leaves_model or not below(path, [path]):
                continue
            try:
                text = texts.read_if_text(self._directory / path)
            except texts.NotTextError as error:
                self._found(Code.UNREADABLE, path, str(error), fix=error.fix)
                self._files[path] = replace(facts, is_readable=False)
                continue
            budget_bytes -= len(text)
            self._scan(path, text)

    def _scan(self, path: str, text: str) -> None:
        if path not in self._read:
            shown_as = f"{self._shown_as}/{path}"
            self._findings += scan(text, path=path, shown_as=shown_as)
        self._read.add(path)

    def _found(self, code: Code, path: str, message: str, *, fix: str) -> None:
        shown_as = posixpath.normpath(f"{self._shown_as}/{path}")
        self._findings.append(
            Finding(path=shown_as, code=code, message=message, fix=fix)
        )
