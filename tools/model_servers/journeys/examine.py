"""Examine a served model: its golden cases alone and together, and its speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from threading import Barrier

from model_servers.core.examination import Asked, CaseResult, Examination, Measured
from model_servers.core.golden import Comparison, GoldenCase, decoded
from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref
from model_servers.interruption import Threads, uninterrupted
from model_servers.ports import ModelServer

_TOGETHER = 8
"""Requests at once, at the least: two would often miss each other's batch."""

_MEASURED = 20
"""Requests of which the latencies are taken."""


@dataclass(frozen=True, kw_only=True)
class Examine:
    """Asks one server."""

    server: ModelServer
    memory_mib: Callable[[Sequence[int]], int | None]
    """Says what processes have resident, by their ids."""

    def run(
        self,
        ref: Ref,
        cases: Sequence[GoldenCase],
        served: ServedVersion,
        load_s: float,
    ) -> Examination:
        """Ask every case singly, then all at once, then one after the other.

        Args:
            ref: what is served.
            cases: one at least.
            served: as the server describes it.
            load_s: how long loading took.
        """
        alone = [self._ask(ref, case, served.device) for case in cases]
        count = max(_TOGETHER, len(cases))
        crowd = list(islice(cycle(cases), count))
        together = self._ask_together(ref, crowd, served.device)
        latencies_ms = tuple(
            self._ask(ref, case, served.device).latency_ms
            for case in islice(cycle(cases), _MEASURED)
        )
        return Examination(
            device=served.device,
            cases=tuple(
                CaseResult(
                    case=case.name,
                    tolerance=case.tolerance_on(served.device),
                    alone=alone[i],
                    together=tuple(together[i :: len(cases)]),
                )
                for i, case in enumerate(cases)
            ),
            measured=Measured(
                load_s=load_s,
                latencies_ms=latencies_ms,
                memory_mib=self.memory_mib(served.pids),
            ),
        )

    def _ask_together(
        self, ref: Ref, crowd: Sequence[GoldenCase], device: str
    ) -> list[Asked]:
        """Send requests at one moment, so that workers batch them.

        An interruption waits for no answer: a slow model has minutes for each.
        """
        start = Barrier(len(crowd))

        def ask(case: GoldenCase) -> Asked:
            start.wait()
            return self._ask(ref, case, device)

        pool = Threads(len(crowd))
        try:
            with uninterrupted():  # or those who wait at the barrier wait for ever
                asked = pool.map(ask, crowd)
            return list(asked)
        finally:
            pool.shutdown(wait=False)

    def _ask(self, ref: Ref, case: GoldenCase, device: str) -> Asked:
        started = time.monotonic()
        status, body = self.server.predict(ref, case.request)
        latency_ms = (time.monotonic() - started) * 1000
        answer = body.decode(errors="replace")
        if status == 200:
            compared = case.compare(body, device=device)
        else:
            compared = Comparison(
                differences=(f"the status is {status}: {answer[:300]}",)
            )
        return Asked(
            answer=answer,
            latency_ms=latency_ms,
            runs=status == 200 and _can_be_decoded(body),
            compared=compared,
        )


def _can_be_decoded(answer: bytes) -> bool:
    try:
        decoded(answer)
    except ValueError:
        return False
    return True
