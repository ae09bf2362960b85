"""What is said of released versions: written in the checkout, told by the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from model_servers.core.contribution import MODEL_FILE, Contribution
from model_servers.core.findings import Finding
from model_servers.core.index import Index
from model_servers.core.lifecycle import (
    LIFECYCLE_FILE,
    Notice,
    Notices,
    State,
    notices,
    why_not_a_reason,
)
from model_servers.core.names import Ref, Version
from model_servers.core.release import release_key
from model_servers.core.yaml_text import with_entry
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys.catalog import Catalog
from model_servers.ports import ModelTexts


def record(
    texts: ModelTexts, name: str, said: Mapping[Version, Notice], *, is_new: bool
) -> list[Version]:
    """Write notices into ``lifecycle.yaml``; give the versions that have new ones.

    Comments and other notices stay as they are. A notice that says the same as the
    one that is there keeps that one's date, and what is yanked stays so.

    Args:
        texts: of the registry's models.
        name: of the model.
        said: at least one notice.
        is_new: the model has no ``lifecycle.yaml``.

    Raises:
        RequestError: the file cannot be edited; nothing is changed.
    """
    for notice in said.values():
        reason = why_not_a_reason(notice.reason)
        if reason is not None:
            raise RequestError(
                f"the reason {notice.reason[:80]!r} cannot be written: {reason}",
                hint="add --reason with one sentence for those who run the model",
            )
    text = "" if is_new else texts.read(name, LIFECYCLE_FILE)
    changed = []
    for version, notice in sorted(said.items()):
        edited = (
            _edited(texts, name, text, version, notice)
            if text
            else _new(version, notice)
        )
        if edited != text:
            changed.append(version)
        text = edited
    if changed:
        texts.replace(name, LIFECYCLE_FILE, text)
    return changed


def _new(version: Version, notice: Notice) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in _lines(notice))
    return f'schema: 1\nversions:\n  "{version}":\n{lines}'


def _edited(
    texts: ModelTexts, name: str, text: str, version: Version, notice: Notice
) -> str:
    data, places = texts.parse(name, LIFECYCLE_FILE, text)
    try:
        old = data["versions"]
        if _says_enough(old.get(version.text), notice):
            return text
        edited = with_entry(text, places, "versions", version.text, _lines(notice))
        found, _ = texts.parse(name, LIFECYCLE_FILE, edited)
    except (RequestError, AttributeError, KeyError, TypeError, ValueError):
        found = None
    if found is None or found != {
        **data,
        "versions": {**old, version.text: notice.to_mapping()},
    }:
        raise RequestError(
            f"{name}/{LIFECYCLE_FILE} is written in a way that is not edited",
            hint=f"write the notice of {version} below `versions:` yourself",
        )
    return edited


def _says_enough(old: object, notice: Notice) -> bool:
    """Say whether a notice is there already, or one that weighs more."""
    if not isinstance(old, Mapping):
        return False
    if old.get("state") == State.YANKED.value and not notice.is_yanked:
        return True
    return {**old, "date": notice.date} == notice.to_mapping()


def _lines(notice: Notice) -> list[tuple[str, str]]:
    return [
        (key, value if key == "state" else json.dumps(value, ensure_ascii=False))
        for key, value in notice.to_mapping().items()
    ]


def said_of_versions(models: Iterable[Contribution]) -> tuple[Notices, list[Finding]]:
    """Give what the models say of their versions, and what is wrong with that.

    Nothing else that may be wrong with a model stands in the way of a warning.
    """
    said: dict[str, Mapping[Version, Notice]] = {}
    findings: list[Finding] = []
    for each in models:
        path = f"{each.root}/{LIFECYCLE_FILE}"
        findings += [one for one in each.findings if one.path == path and one.is_error]
        if MODEL_FILE in each.files:
            document = each.lifecycle
            said[each.name] = {} if document is None else notices(document.data)
    return said, findings


@dataclass(frozen=True, kw_only=True)
class Noted:
    """How what is said of a version changes; None is nothing."""

    ref: Ref
    before: Notice | None
    after: Notice | None


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """What a store says of its releases."""

    catalog: Catalog

    def plan(self, said: Notices) -> list[Noted]:
        """Compare what the models say with the index; nothing is written.

        Raises:
            RefusedError: something is said of versions that are not released.
        """
        index = self.catalog.read() or Index()
        self._refuse_unreleased(said, index)
        return [
            Noted(ref=ref, before=before, after=after)
            for ref in sorted({*_refs(said), *index.entries})
            if ref.name in said
            for before in [index.notice(ref)]
            for after in [said[ref.name].get(ref.version)]
            if before != after
        ]

    def publish(self, said: Notices) -> list[Noted]:
        """Let the index say what the models say; a model that is not there keeps its.

        Raises:
            RefusedError: as ``plan`` says; nothing was written.
        """
        noted = self.plan(said)
        if noted:
            index = self.catalog.read() or Index()
            for name in {one.ref.name for one in noted if one.ref not in index.entries}:
                self.catalog.add(name)
            self.catalog.note({one.ref.name: said[one.ref.name] for one in noted})
        return noted

    def _refuse_unreleased(self, said: Notices, index: Index) -> None:
        store = self.catalog.store
        unknown = [
            ref
            for ref in _refs(said)
            if ref not in index.entries and store.stat(release_key(ref)) is None
        ]
        if unknown:
            names = ", ".join(map(str, sorted(unknown)))
            raise RefusedError(
                f"{LIFECYCLE_FILE} speaks of what is not released: {names}; nothing "
                "was written",
                hint=f"correct the version in {LIFECYCLE_FILE}, or `ms publish` it",
            )


def _refs(said: Notices) -> Iterator[Ref]:
    return (Ref(name, version) for name, each in said.items() for version in each)
