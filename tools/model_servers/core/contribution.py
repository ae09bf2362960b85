"""What a contributor wrote: documents and files of one ``registry/<model>/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_servers.core.findings import Code, Finding
from model_servers.core.segments import Segment

MODEL_FILE = "model.yaml"
"""The document that makes a directory a model."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One YAML document that its schema has accepted."""

    path: str
    """Relative to the model's directory."""

    data: Mapping[str, Any]
    places: Mapping[str, tuple[int, int]]
    """Line and column, counted from 1, of ``build.extra_files[2]`` and so on."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What the file system says of one file, without reading it."""

    size_bytes: int
    leaves_model: bool = False
    """It is a link to a directory, or out of the model's directory."""

    link_to: str = ""
    """The file of the model that it is a link to."""

    is_readable: bool = True


@dataclass(frozen=True, kw_only=True)
class Digests:
    """What reading a file once tells: a zip needs the CRC, we need the rest."""

    size_bytes: int
    sha256: str
    crc32: int
    segments: tuple[Segment, ...] = ()
    """By their places in the file; they have every byte of it once."""


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """A model's directory as read, before anybody asked whether it makes sense."""

    name: str
    """The directory's name."""

    root: str
    """The directory as people know it, such as ``registry/digits``."""

    files: Mapping[str, FileFacts]
    """Every file below the directory, by its path relative to it."""

    model: Document | None = None
    """``model.yaml``; None if it is missing or its schema refused it."""

    config: Document | None = None
    """The model config that ``model.yaml`` names; None as above."""

    golden: tuple[Document, ...] = ()
    """The golden cases whose schema accepted them, by path."""

    channels: Document | None = None
    """``channels.yaml``; None as above."""

    lifecycle: Document | None = None
    """``lifecycle.yaml``; None as above."""

    model_source: str | None = None
    """The text of the model file."""

    requirements: str | None = None
    """The text of the requirements file."""

    findings: tuple[Finding, ...] = field(default=())
    """What reading found: syntax and shape."""

    def finding(
        self,
        code: Code,
        message: str,
        *,
        document: Document | str,
        where: str = "",
        fix: str = "",
    ) -> Finding:
        """Make a finding about *document*, with line and column if known.

        Args:
            code: its kind.
            message: the thing, what was found, what was expected.
            document: the document, or the path of a file in the directory.
            where: the place inside the document.
            fix: what to change.
        """
        path, line, column = document, None, None
        if isinstance(document, Document):
            path = document.path
            line, column = document.places.get(where, (None, None))
        return Finding(
            path=f"{self.root}/{path}",
            where=where,
            line=line,
            column=column,
            code=code,
            message=message,
            fix=fix,
        )
