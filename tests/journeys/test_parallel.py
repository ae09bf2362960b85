"""Reads that are made several at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from model_servers.errors import OutsideError
from model_servers.journeys import parallel

LIMIT_S = 60


def test_answers_come_in_the_order_of_what_was_asked() -> None:
    together = threading.Barrier(3)

    def read(number: int) -> int:
        together.wait(LIMIT_S)  # breaks if one waits for another
        return number * number

    assert parallel.each(read, [1, 2, 3]) == [1, 4, 9]
    assert parallel.each(read, []) == []


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_an_error_is_not_held_up_by_reads_that_hang(hang: threading.Event) -> None:
    begun = []

    def read(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise OutsideError("the store is away")
        hang.wait(LIMIT_S)

    with pytest.raises(OutsideError, match="the store is away"):
        parallel.each(read, range(1000))

    assert not hang.is_set()
    assert len(begun) <= 1 + parallel.AT_ONCE
