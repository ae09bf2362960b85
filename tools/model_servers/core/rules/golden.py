"""Rules about golden cases."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from model_servers.core.findings import Code, Finding
from model_servers.core.layout import below
from model_servers.core.rules.subject import Subject


def cases(subject: Subject) -> Iterator[Finding]:
    """There is a case, and every case stands where it is asked."""
    contribution = subject.contribution
    golden = posixpath.normpath(subject.spec.golden)
    files = below(golden, contribution.files)
    for path in files:
        if path.endswith(".yaml") and not is_case(path, golden):
            yield subject.in_file(
                Code.GOLDEN,
                f"the case is not directly in {golden!r}, so nobody asks it",
                path=path,
                fix=f"move it to {contribution.root}/{golden}/",
            )
        if path.endswith(".yml"):
            yield subject.in_file(
                Code.GOLDEN,
                "the case does not end in .yaml, so nobody asks it",
                path=path,
                fix=f"rename it to {path.removesuffix('.yml')}.yaml",
            )
    if not any(is_case(path, golden) for path in files):
        yield subject.in_model(
            Code.GOLDEN,
            f"there is no golden case in {golden!r}",
            where="golden" if "golden" in subject.model.data else "",
            fix=f"record a request and its answer in {golden}/<case>.yaml: "
            f"ms golden {contribution.name} --add CASE --body JSON",
        )


def requests(subject: Subject) -> Iterator[Finding]:
    """A request whose body is a file stands beside that file."""
    contribution = subject.contribution
    for case in contribution.golden:
        file = case.data["request"].get("file")
        if file is None:
            continue
        path = posixpath.join(posixpath.dirname(case.path), file)
        if path not in contribution.files:
            yield contribution.finding(
                Code.GOLDEN,
                f"{file!r} does not stand beside the case",
                document=case,
                where="request.file",
                fix=f"add {contribution.root}/{path}, or correct the name",
            )


def recorded(subject: Subject) -> Iterator[Finding]:
    """Every case says which answer is right."""
    for case in subject.contribution.golden:
        if "expect" not in case.data:
            yield subject.contribution.finding(
                Code.UNRECORDED,
                "the case has no recorded answer, expected expect:",
                document=case,
                fix=f"ms golden {subject.contribution.name} --update",
            )


def is_case(path: str, golden: str) -> bool:
    """Say whether a file is a case of the golden directory *golden*."""
    return path.endswith(".yaml") and posixpath.dirname(path) == golden
