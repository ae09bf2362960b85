"""What the catalogue shows, before it has any form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from model_servers.core.lifecycle import Notice
from model_servers.core.names import LATEST, Version
from model_servers.core.verdicts import Passed


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some bytes of an archive: a file, or what is left of many."""

    label: str
    size_bytes: int
    is_new: bool
    """A host with the version before does not have them."""


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """One released version."""

    version: Version
    date: str | None
    """When its commit was made, in ISO 8601; None if nobody can tell."""

    archive_sha256: str
    size_bytes: int
    moved_bytes: int
    """What a host with the version before fetches; all for the first version."""

    git_commit: str | None
    channels: tuple[str, ...] = ()
    notice: Notice | None = None
    needs: tuple[tuple[str, str], ...] = ()
    """Resources, for people: ``("GPU memory", "256 MiB")``."""

    parts: tuple[Part, ...] = ()
    """The largest first."""

    tested: tuple[Passed, ...] = ()
    """What it has shown in a real TorchServe, by device."""

    @property
    def is_yanked(self) -> bool:
        """Whether it must not be used."""
        return self.notice is not None and self.notice.is_yanked


@dataclass(frozen=True, kw_only=True)
class Example:
    """A golden case, as something to try."""

    case: str
    content_type: str
    body: bytes
    file: str
    """The name under which the body can be downloaded."""

    is_inline: bool
    """The body stands in the commands."""

    request: str
    """What goes in, in a few words."""

    answer: str
    """The answer as JSON; empty if none is recorded."""

    answer_shape: str
    curl: str
    python: str


@dataclass(frozen=True, kw_only=True)
class About:
    """What the registry says of a model."""

    root: str
    """The directory as people know it, such as ``registry/digits``."""

    version: Version
    summary: str
    license: str
    maintainers: tuple[str, ...]
    framework: str
    serving: tuple[tuple[str, str], ...]
    """Settings, for people."""

    card: str = ""
    """The README's Markdown, which anybody may have written."""

    pictures: Mapping[str, str] = field(default_factory=dict)
    """Where each picture of the directory is on this disk, by its path in there."""

    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelPage:
    """Everything about one model."""

    name: str
    about: About | None
    """None if the registry has it no more, or it cannot be read."""

    versions: tuple[VersionRow, ...]
    """The newest first."""

    @property
    def latest(self) -> VersionRow | None:
        """The highest version that is not yanked."""
        return next((row for row in self.versions if not row.is_yanked), None)

    @property
    def tested(self) -> VersionRow | None:
        """The highest version that is not yanked and was tested."""
        rows = (row for row in self.versions if row.tested and not row.is_yanked)
        return next(rows, None)

    @property
    def channels(self) -> tuple[tuple[str, Version], ...]:
        """Each channel that points to the model, and the version it points to."""
        pointed = [
            (channel, row.version) for row in self.versions for channel in row.channels
        ]
        return tuple(sorted(pointed))

    @property
    def details(self) -> tuple[tuple[str, str], ...]:
        """Settings and resources, for people; a release knows better than main."""
        settings = self.about.serving if self.about else ()
        needs = self.latest.needs if self.latest else ()
        return tuple({**dict(settings), **dict(needs)}.items())

    @property
    def example(self) -> Example | None:
        """The golden case to try first: one that needs no file, if there is one."""
        examples = self.about.examples if self.about else ()
        return min(examples, key=lambda one: not one.is_inline, default=None)

    @property
    def ref(self) -> str:
        """What a host profile asks for: the channel stable, else the latest."""
        channels = dict(self.channels)
        return "stable" if "stable" in channels else LATEST


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The whole registry."""

    title: str
    store: str | None
    """The address of the store, if it means anything to a reader."""

    repository: str | None
    """The web address of the git repository."""

    models: tuple[ModelPage, ...]

    @cached_property  # every page shows it
    def updated(self) -> str | None:
        """When the newest commit with a release was made."""
        dates = (row.date for model in self.models for row in model.versions)
        return max((date for date in dates if date), default=None)

    @property
    def releases(self) -> tuple[tuple[ModelPage, VersionRow], ...]:
        """Every release with a date, the newest first."""
        dated = [
            (model, row) for model in self.models for row in model.versions if row.date
        ]
        dated.sort(key=lambda one: (one[0].name, one[1].version))
        dated.sort(key=lambda one: one[1].date or "", reverse=True)
        return tuple(dated)
