"""One model outside a registry: files from anywhere, told by the guide's arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_servers.adapters import checkpoint_file, documents, texts
from model_servers.adapters.file_digests import digest_file
from model_servers.adapters.listing import list_files
from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.contribution import (
    MODEL_FILE,
    Contribution,
    Digests,
    Document,
    FileFacts,
)
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import below
from model_servers.core.rules.texts import scan
from model_servers.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What the guide's build script is given."""

    model_name: str
    version: str
    model_file: Path
    config_file: Path
    checkpoint_file: Path
    requirements_file: Path | None = None
    extra_files: tuple[Path, ...] = ()
    """Files, directories and archives; each stands in the archive by its name."""


class LooseFiles:
    """A registry of one model, whose files stay where they are."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._paths = dict(_places(arguments))

    def names(self) -> list[str]:
        """Name the model."""
        return [self._arguments.model_name]

    def read(self, name: str) -> Contribution:
        """Give the model as a directory with these files would be read."""
        config, findings = self._config()
        sources = {
            path: self._text(path, findings)
            for path in (
                self._arguments.model_file,
                self._arguments.requirements_file,
            )
            if path is not None
        }
        return Contribution(
            name=name,
            root=name,
            files={
                place: FileFacts(size_bytes=path.stat().st_size)
                for place, path in self._paths.items()
            },
            model=Document(path=MODEL_FILE, data=self._model(), places={}),
            config=config,
            model_source=sources[self._arguments.model_file],
            requirements=sources.get(self._arguments.requirements_file or Path()),
            findings=tuple(findings),
        )

    def digests(self, name: str, path: str) -> Digests:
        """Hash one of the files."""
        del name  # there is only one
        return digest_file(self._paths[path])

    def sha256(self, name: str, path: str) -> str:
        """Give the sha256 of one file of the model."""
        return self.digests(name, path).sha256

    def checkpoint(
        self, name: str, path: str, *, fetch: bool = True
    ) -> CheckpointFacts:
        """Say what one of the files holds as a checkpoint; executes nothing."""
        del name, fetch  # there is only one, and every file is here
        return checkpoint_file.read(self._paths[path])

    def path(self, name: str, path: str) -> Path:
        """Say where one of the files is."""
        del name  # there is only one
        return self._paths[path]

    def commit(self) -> str | None:
        """Files from anywhere are of no commit."""
        return None

    def _model(self) -> Mapping[str, Any]:
        """Give what ``model.yaml`` would say."""
        given = self._arguments
        build: dict[str, Any] = {
            "model_file": given.model_file.name,
            "config_file": given.config_file.name,
            "checkpoint_file": given.checkpoint_file.name,
        }
        if given.requirements_file is not None:
            build["requirements_file"] = given.requirements_file.name
        if given.extra_files:
            build["extra_files"] = [path.name for path in given.extra_files]
        return {
            "schema": 1,
            "name": given.model_name,
            "version": given.version,
            "summary": "A model outside a registry.",
            "license": "LicenseRef-unknown",
            "maintainers": (),
            "build": build,
        }

    def _config(self) -> tuple[Document | None, list[Finding]]:
        findings: list[Finding] = []
        path = self._arguments.config_file
        text = self._text(path, findings)
        if text is None:
            return None, findings
        document, found = documents.load(
            text, schema="model-config", path=path.name, shown_as=str(path)
        )
        return document, findings + found

    def _text(self, path: Path, findings: list[Finding]) -> str | None:
        try:
            text = texts.read(path)
        except texts.NotTextError as error:
            findings.append(
                Finding(
                    path=str(path),
                    code=Code.UNREADABLE,
                    message=str(error),
                    fix=error.fix,
                )
            )
            return None
        findings += scan(text, path=path.name, shown_as=str(path))
        return text


def _places(given: Arguments) -> Iterator[tuple[str, Path]]:
    """Yield each file with its place beside the others.

    Raises:
        RequestError: a file is not there, or two claim one place.
    """
    seen: dict[str, Path] = {}
    for flag, path in _named(given):
        if not path.exists():
            raise RequestError(
                f"--{flag}: there is no file {path}", hint="correct the path"
            )
        if path.is_dir() and flag != "extra_files":
            raise RequestError(
                f"--{flag}: {path} is a directory, expected a file",
                hint="correct the path",
            )
        for place, file in _files(path):
            rival = seen.setdefault(place, file)
            if not rival.samefile(file):
                raise RequestError(
                    f"{rival} and {file} would have one place in the archive: {place}",
                    hint="rename one of the files",
                )
            yield place, file


def _named(given: Arguments) -> Iterator[tuple[str, Path]]:
    yield "model_file", given.model_file
    yield "config_file", given.config_file
    if given.requirements_file is not None:
        yield "requirements_file", given.requirements_file
    yield "checkpoint_file", given.checkpoint_file
    for path in given.extra_files:
        yield "extra_files", path


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    for inner in list_files(path).files:
        if below(inner, [inner]):
            yield f"{path.name}/{inner}", path / inner
