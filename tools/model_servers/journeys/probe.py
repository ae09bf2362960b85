"""Refuses a store that would not keep the promises that releases rest on.

The probes write the index onto itself, which changes nothing in any store, and
leave nothing behind that somebody would have to be allowed to delete.
"""

from __future__ import annotations

import secrets

from model_servers.core.index import INDEX_KEY
from model_servers.errors import RefusedError
from model_servers.journeys.catalog import Catalog

_HINT = "`ms store doctor` tells what the store does; use one with conditional writes"


def refuse_unless_create_only(catalog: Catalog) -> None:
    """Try to create an object that is there.

    Raises:
        RefusedError: the store let it happen, so a version could be overwritten.
    """
    if catalog.store.create(INDEX_KEY, _index(catalog)):
        raise RefusedError(
            f"the store {catalog.store.address} overwrites what is there, so a "
            "released version would not be safe in it; nothing was released",
            hint=_HINT,
        )


def refuse_unless_compared(catalog: Catalog) -> None:
    """Try to swap an object for another than the expected one.

    Raises:
        RefusedError: the store let it happen, so a change of somebody else could
            be lost.
    """
    if catalog.store.swap(INDEX_KEY, _index(catalog), secrets.token_hex(16)):
        raise RefusedError(
            f"the store {catalog.store.address} replaces objects without comparing, "
            "so a channel could go back to an older version; nothing was moved",
            hint=_HINT,
        )


def _index(catalog: Catalog) -> bytes:
    if catalog.read() is None:
        catalog.rebuild()
    return catalog.store.read(INDEX_KEY) or b""
