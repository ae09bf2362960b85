"""The loop: a round, then a wait that grows with failures, until it is ended."""

from __future__ import annotations

from collections.abc import Callable

from model_servers.core.watching import Outcome, Round, Tally
from model_servers.journeys.host.watch import Watch


def watch(*outcomes: Outcome) -> tuple[list[float], list[Tally]]:
    """Run one round per outcome; give what was waited for and what was told."""
    waits: list[float] = []
    told: list[Tally] = []
    rounds = iter(outcomes)

    def stopped(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == len(outcomes)

    once: Callable[[], Round] = lambda: Round(outcome=next(rounds))  # noqa: E731
    Watch(
        round=once,
        stopped=stopped,
        publish=told.append,
        chance=lambda: 0.5,
        interval_s=60,
    ).run()
    return waits, told


def test_a_round_comes_first_and_the_end_comes_after_it() -> None:
    waits, told = watch(Outcome.DONE)

    assert waits == [60]
    assert [one.rounds for one in told] == [{Outcome.DONE: 1}]


def test_failures_are_tried_again_later_and_later_until_one_succeeds() -> None:
    failed = Outcome.FAILED

    waits, _ = watch(failed, failed, failed, Outcome.DONE, failed)

    assert waits == [120, 240, 480, 60, 120]


def test_what_a_person_must_decide_is_looked_at_as_often_as_ever() -> None:
    waits, _ = watch(Outcome.REFUSED, Outcome.BUSY, Outcome.REFUSED)

    assert waits == [60, 60, 60]
