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
    so it is asked for what it gave before, and its answer is for all.

    Raises:
        RefusedError: *what* cannot be read, and the store answers.
        OutsideError: the store does not answer.
    """
    try:
        yield
    except (OutsideError, RequestError) as error:
        store.stat(INDEX_KEY)
        raise RefusedError(
            f"{what} cannot be read: {error}", hint=error.hint
        ) from error
