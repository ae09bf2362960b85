"""Reads releases out of a store, through their schema."""

from __future__ import annotations

import json

from model_servers.adapters import documents
from model_servers.core.findings import Code
from model_servers.core.names import Ref, Version
from model_servers.core.release import (
    RELEASE_SCHEMA_NUMBER,
    Release,
    release_key,
    released_versions,
)
from model_servers.errors import OutsideError, RequestError
from model_servers.ports import Store

_DAMAGED = "the file is damaged; restore it from a copy of the store"
_DAMAGED_RECORD = "the file is damaged; `ms sync verify` mends it"


class StoredReleases:
    """The releases of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def versions(self, name: str) -> list[Version]:
        """List the released versions of a model, oldest first."""
        return released_versions(name, self._store.keys(f"models/{name}/"))

    def find(self, ref: Ref) -> Release | None:
        """Give a release; None if the version is not released."""
        body = self._store.read(release_key(ref))
        if body is None:
            return None
        return read_release(body, shown_as=f"{self._store.address}/{release_key(ref)}")


def read_record(body: bytes, *, shown_as: str) -> Release:
    """Read a ``release.json`` that was checked when it came to this machine.

    Hosts read many of them for each plan. One that is damaged is looked at closely.

    Raises:
        OutsideError: it is damaged.
        RequestError: it was written by a newer version of the tool.
    """
    try:
        data = json.loads(body)
        if data["schema"] == RELEASE_SCHEMA_NUMBER:
            return Release.from_mapping(data)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return read_release(body, shown_as=shown_as, damaged=_DAMAGED_RECORD)


def read_release(body: bytes, *, shown_as: str, damaged: str = _DAMAGED) -> Release:
    """Read one ``release.json``; *damaged* is the hint if it is.

    Raises:
        OutsideError: it is damaged.
        RequestError: it was written by a newer version of the tool.
    """
    try:
        data = json.loads(body)
    except ValueError as error:
        raise OutsideError(f"{shown_as} is not JSON: {error}", hint=damaged) from error
    for code, where, message, fix in documents.violations(data, schema="release"):
        if code is Code.TOO_NEW:
            raise RequestError(f"{shown_as}: {message}", hint=fix)
        place = f"{where}: " if where else ""
        raise OutsideError(f"{shown_as}: {place}{message}", hint=damaged)
    try:
        return Release.from_mapping(data)
    except ValueError as error:
        raise OutsideError(f"{shown_as}: {error}", hint=damaged) from error
