"""Lets a release carry what tests found out about its bytes, and about no others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

from model_servers.core.presentation import visible
from model_servers.core.release import Candidate, Release
from model_servers.core.verdicts import Verdict
from model_servers.errors import RefusedError, RequestError


def refuse_unless_fit(
    verdicts: Sequence[Verdict], candidates: Collection[Candidate]
) -> None:
    """Look at all that is told, before anything is built.

    Args:
        verdicts: what reports say.
        candidates: the versions that they may be about.

    Raises:
        RequestError: one is about something else or tells of one case twice, or two
            are about one test.
        RefusedError: one is about other inputs, or tells of a failure.
    """
    by_ref = {one.ref: one for one in candidates}
    for verdict in verdicts:
        candidate = by_ref.get(verdict.ref)
        if candidate is None:
            raise RequestError(
                f"a report tells of {verdict.ref}, and here are only "
                f"{', '.join(map(str, by_ref)) or 'no models'}; nothing was written",
                hint=_test_again(verdict),
            )
        if candidate.inputs_digest != verdict.inputs_digest:
            raise RefusedError(
                f"a report tells of {verdict.ref} with other inputs: "
                f"{verdict.inputs_digest[:12]}, here are "
                f"{candidate.inputs_digest[:12]}; nothing was written",
                hint=_test_again(verdict),
            )
        if verdict.problem:
            raise RefusedError(
                f"a report tells that {verdict.ref} failed: "
                f"{visible(verdict.problem)}; nothing was written",
                hint="correct the model; if the new answer is right: "
                f"ms golden {verdict.ref.name} --update",
            )
        _refuse_cases_twice(verdict)
    _refuse_twice(verdicts)


def with_verdicts(release: Release, verdicts: Sequence[Verdict]) -> Release:
    """Give the release with what was found out about its archive.

    Raises:
        RefusedError: it was found out about another archive.
    """
    tested = []
    for verdict in verdicts:
        if verdict.ref != release.ref or verdict.tested is None:
            continue
        if verdict.archive_sha256 != release.archive.sha256:
            raise RefusedError(
                f"a report tells of {release.ref} as archive "
                f"{verdict.archive_sha256[:12]}; this one is "
                f"{release.archive.sha256[:12]}, and was not released",
                hint=_test_again(verdict),
            )
        tested.append(verdict.tested)
    return replace(release, tested=tuple(sorted(tested, key=lambda one: one.device)))


def _refuse_cases_twice(verdict: Verdict) -> None:
    golden = verdict.tested.golden if verdict.tested else ()
    # They are sorted.
    for one, other in pairwise(golden):
        if one.case == other.case:
            raise RequestError(
                f"a report tells of {verdict.ref} and its golden case "
                f"{visible(repr(one.case))} twice; nothing was written",
                hint=_test_again(verdict),
            )


def _refuse_twice(verdicts: Sequence[Verdict]) -> None:
    told = set()
    for verdict in verdicts:
        device = verdict.tested.device if verdict.tested else None
        if (verdict.ref, device) in told:
            raise RequestError(
                f"two reports tell of {verdict.ref} on {device}; nothing was written",
                hint="leave one of them out",
            )
        told.add((verdict.ref, device))


def _test_again(verdict: Verdict) -> str:
    name = verdict.ref.name
    return f"test what is here: ms test {name} --layout mar --report FILE"
