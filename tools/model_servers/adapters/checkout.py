"""The registry in a checkout: reads ``registry/<model>/`` and hashes its files."""

from __future__ import annotations

import hashlib
import os
import posixpath
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from model_servers.adapters import documents, git
from model_servers.core.contribution import (
    MODEL_FILE,
    Contribution,
    Digests,
    Document,
    FileFacts,
)
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import below
from model_servers.core.rules import is_case
from model_servers.errors import OutsideError, RequestError

_CHUNK_BYTES = 2**20


class Checkout:
    """The models below one ``registry/`` directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # A run reads a file once, however many journeys ask for its digest.
        self._digests = cache(_hash_file)

    def names(self) -> list[str]:
        """List the models, by name; hidden and ``_`` directories are none."""
        if not self._root.is_dir():
            raise RequestError(
                f"there is no registry at {self._root}",
                hint="run ms in a checkout, or name the directory with --registry",
            )
        return sorted(
            entry.name
            for entry in self._root.iterdir()
            if entry.is_dir() and not entry.name.startswith((".", "_"))
        )

    def read(self, name: str) -> Contribution:
        """Read one model's documents and list its files."""
        names = self.names()
        if name not in names:
            known = ", ".join(names) or "none"
            raise RequestError(
                f"there is no model {name!r} in {self._root}",
                hint=f"models here: {known}",
            )
        return _Reader(self._root / name, f"{self._root.name}/{name}").contribution()

    def digests(self, name: str, path: str) -> Digests:
        """Hash one file of a model, at most once."""
        return self._digests(self.path(name, path))

    def path(self, name: str, path: str) -> Path:
        """Say where one file of a model is."""
        return self._root / name / path

    def commit(self) -> str | None:
        """Give the commit of the checkout, if the registry is as committed."""
        return git.commit(self._root)


class _Reader:
    """Reads one model's directory, collecting what is wrong with its shape."""

    def __init__(self, directory: Path, shown_as: str) -> None:
        self._directory = directory
        self._shown_as = shown_as
        self._findings: list[Finding] = []
        self._files = {
            path: facts
            for path, facts in _list_files(directory)
            if self._is_plain(path)
        }

    def contribution(self) -> Contribution:
        """Read everything that ``model.yaml`` names."""
        model = self._document(MODEL_FILE, "model")
        if self._directory.is_symlink():
            self._findings.append(
                Finding(
                    path=self._shown_as,
                    code=Code.OUTSIDE_MODEL,
                    message="the model's directory is a link",
                    fix="replace the link by a copy",
                )
            )
        if MODEL_FILE not in self._files:
            self._findings.append(
                Finding(
                    path=f"{self._shown_as}/{MODEL_FILE}",
                    code=Code.MISSING_FILE,
                    message=f"the directory has no {MODEL_FILE}",
                    fix=f"write {MODEL_FILE}; registry/digits has an example",
                )
            )
        build: dict[str, Any] = dict(model.data["build"]) if model else {}
        golden = model.data.get("golden", "golden") if model else "golden"
        cases = [path for path in below(golden, self._files) if is_case(path, golden)]
        documents_read = [self._document(case, "golden") for case in sorted(cases)]
        return Contribution(
            name=self._directory.name,
            root=self._shown_as,
            files=self._files,
            model=model,
            config=self._document(build.get("config_file"), "model-config"),
            golden=tuple(case for case in documents_read if case is not None),
            model_source=self._text(build.get("model_file")),
            requirements=self._text(build.get("requirements_file")),
            findings=tuple(self._findings),
        )

    def _is_plain(self, path: str) -> bool:
        """Say whether a file's name can stand in an archive; if not, that is found."""
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode(errors="surrogateescape").decode(errors="replace")
            self._findings.append(
                Finding(
                    path=f"{self._shown_as}/{shown}",
                    code=Code.UNREADABLE,
                    message="the file's name is not UTF-8",
                    fix="rename the file",
                )
            )
            return False
        return True

    def _document(self, path: str | None, schema: str) -> Document | None:
        text = self._text(path)
        if path is None or text is None:
            return None
        document, findings = documents.load(
            text, schema=schema, path=path, shown_as=f"{self._shown_as}/{path}"
        )
        self._findings += findings
        return document

    def _text(self, path: str | None) -> str | None:
        """Read a file that belongs to the model; None if there is none."""
        if path is None:
            return None
        path = posixpath.normpath(path)
        if path not in self._files or self._files[path].leaves_model:
            return None
        try:
            return (self._directory / path).read_text("utf-8")
        except UnicodeDecodeError as error:
            self._findings.append(
                Finding(
                    path=f"{self._shown_as}/{path}",
                    code=Code.UNREADABLE,
                    message=f"byte {error.start} is not UTF-8",
                    fix="save the file as UTF-8",
                )
            )
            return None


def _list_files(directory: Path) -> Iterator[tuple[str, FileFacts]]:
    home = directory.resolve()
    for folder, folders, names in os.walk(directory):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            file = Path(folder) / name
            # Path.resolve raises RuntimeError for a link to itself before 3.13.
            aim = Path(os.path.realpath(file))
            leaves = file.is_symlink() and (
                aim.is_dir() or not aim.is_relative_to(home)
            )
            if leaves or file.is_file():
                facts = file.lstat() if leaves else file.stat()
                yield (
                    file.relative_to(directory).as_posix(),
                    FileFacts(size_bytes=facts.st_size, leaves_model=leaves),
                )


def _hash_file(file: Path) -> Digests:
    sha256, crc32, size_bytes = hashlib.sha256(), 0, 0
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                sha256.update(chunk)
                crc32 = zlib.crc32(chunk, crc32)
                size_bytes += len(chunk)
    except OSError as error:
        raise OutsideError(f"{file} cannot be read: {error.strerror}") from error
    return Digests(size_bytes=size_bytes, sha256=sha256.hexdigest(), crc32=crc32)
