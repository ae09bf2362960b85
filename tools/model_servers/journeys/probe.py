"""Refuses a store that would not keep the promises that releases rest on.

The probes write the index onto itself, which changes nothing in any store, and
leave nothing behind that somebody would have to be allowed to delete.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from model_servers.core.index import INDEX_KEY
from model_servers.errors import OutsideError, RefusedError
from model_servers.interruption import Threads
from model_servers.journeys.catalog import Catalog
from model_servers.ports import ProbedStore

_RIVALS = 4
_HINT = "`ms store doctor` tells what the store does; use one with conditional writes"


def refuse_unless_create_only(store: ProbedStore, catalog: Catalog) -> None:
    """Try to create an object that is there, and a new store's first one in a race.

    Raises:
        RefusedError: the store let it happen, or several were told that they had
            created it, so a version could be overwritten.
    """
    winners = _create_index(catalog)
    if store.create(INDEX_KEY, _index(catalog)):
        raise RefusedError(
            f"the store {store.address} overwrites what is there, so a "
            "released version would not be safe in it; nothing was released",
            hint=_HINT,
        )
    if winners > 1:
        with suppress(OutsideError):  # without an index the next run tries it again
            store.delete(INDEX_KEY)
        raise RefusedError(
            f"of {_RIVALS} writers of one key, the store {store.address} told "
            f"{winners} that they had created it, so of two that release one version "
            "none would notice; nothing was released",
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


def _create_index(catalog: Catalog) -> int:
    """Let rivals create the index of a store that has none; say how many did."""
    if catalog.store.stat(INDEX_KEY) is not None:
        return 0
    body = catalog.collected().to_bytes()
    with Threads(_RIVALS) as pool:
        created = [
            pool.submit(catalog.store.create, INDEX_KEY, body) for _ in range(_RIVALS)
        ]
        return sum(one.result() for one in created)


def _index(catalog: Catalog) -> bytes:
    if catalog.read() is None:
        catalog.rebuild()
    return catalog.store.read(INDEX_KEY) or b""
