"""Sync a host again and again, until somebody ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from model_servers.core.watching import Round, Tally, wait_s


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The loop; everything it does is passed in."""

    round: Callable[[], Round]
    """Syncs once; raises only what is a bug."""

    stopped: Callable[[float], bool]
    """Waits so many seconds, or less if the loop shall end; says whether it shall."""

    publish: Callable[[Tally], None]
    """Is told after every round."""

    chance: Callable[[], float]
    """Gives random numbers from 0 to 1."""

    interval_s: float

    def run(self) -> Tally:
        """Sync until the loop shall end; a round that is at work is not cut off."""
        tally = Tally()
        while True:
            started = time.monotonic()
            found = self.round()
            tally = tally.after(
                found, now_s=time.time(), duration_s=time.monotonic() - started
            )
            self.publish(tally)
            if self.stopped(wait_s(self.interval_s, tally.failures, self.chance())):
                return tally
