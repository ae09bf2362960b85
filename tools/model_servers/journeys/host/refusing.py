"""Keeps what a store cannot give for one model from stopping the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model_servers.core.index import INDEX_KEY
from model_servers.errors import OutsideError, RefusedError, RequestError
from model_servers.ports import Store


@contextmanager
def unless_given(store: Store, what: str) -> Iterator[None]:
    """Refuse the one model for which *what* is read, if *store* gives anything else.

    A store that is down or denied would refuse every model, each after its own wait;
    so it is asked again for what it gave first, and its answer is for all.

    Raises:
        RefusedError: *what* cannot be read, and the store gives something else.
        OutsideError: the store does not answer, or has nothing.
    """
    try:
        yield
    except (OutsideError, RequestError) as error:
        if not _gives_anything(store):
            raise
        raise RefusedError(
            f"{what} cannot be read: {error}", hint=error.hint
        ) from error


def _gives_anything(store: Store) -> bool:
    """Say whether a store gives its index, or has any release.

    What is no store at all may say of everything that it is not there.
    """
    return (
        store.read_movable(INDEX_KEY) is not None
        or next(store.keys("models/"), None) is not None
    )
