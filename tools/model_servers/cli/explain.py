"""The kinds of findings, explained: one on a terminal, all in docs/findings.md. Pure.

``make docs`` writes the document.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import groupby

from model_servers.cli.examples import EXAMPLES
from model_servers.core.codes import Code, Severity
from model_servers.core.exceptions import can_be_excepted
from model_servers.errors import RequestError

ALL = "all"

_GROUPS = {
    "MS00": "Documents",
    "MS01": "Names",
    "MS02": "Files and settings",
    "MS03": "Code",
    "MS04": "Requirements",
    "MS05": "Checkpoints and large files",
    "MS06": "Golden cases",
    "MS07": "Versions",
    "MS08": "Safety, and other machines than yours",
}

_OPENING = """\
# Findings

What `ms validate` can find. `make docs` writes this page from
`tools/model_servers/core/codes.py`; `ms validate --explain MS050` tells the same of one
code. A code never changes its meaning.

An **error** must be mended: the model is neither built nor released. A **hint** is
worth a look; a run with nothing else ends with status 0. Where a finding is right for
one model, `model.yaml` can declare an exception, with a reason and its last day:

```yaml
exceptions:
  - code: MS026
    path: labels.txt # a file or directory; everywhere if left out
    reason: a client reads it from git
    until: "2027-01-31"
```"""


def explained(text: str) -> str:
    """Explain one code, or give the whole page.

    Raises:
        RequestError: there is no such code; the hint has the nearest ones.
    """
    if text.lower() == ALL:
        return page()
    codes = {code.value: code for code in Code}
    wanted = text.upper()
    if wanted not in codes:
        near = difflib.get_close_matches(wanted, codes, n=3, cutoff=0.6)
        raise RequestError(
            f"there is no code {text!r}",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else "docs/findings.md has all of them",
        )
    return _explained(codes[wanted])


def page() -> str:
    """Write docs/findings.md, without the line feed at its end."""
    return "\n\n".join([_OPENING, *_sections()])


def _explained(code: Code) -> str:
    lines = [
        f"{code.value} {code.severity.value}: {code.title}",
        f"why: {code.why}",
        f"fix: {code.fix}",
        f"exceptions: {_exceptions(code)}",
    ]
    if code in EXAMPLES:
        lines += ["example:", *(f"    {line}" for line in EXAMPLES[code].split("\n"))]
    return "\n".join(lines)


def _sections() -> Iterator[str]:
    codes = sorted(Code, key=lambda code: code.value)
    for group, members in groupby(codes, key=lambda code: code.value[:4]):
        yield f"## {_GROUPS[group]}"
        for code in members:
            yield from _section(code)


def _section(code: Code) -> Iterator[str]:
    yield f'<a id="{code.value.lower()}"></a>'
    yield f"### {code.value} {code.title.removesuffix('.')}"
    yield f"{code.why} {code.fix}"
    yield f"*{code.severity.value.capitalize()}; {_exceptions(code)}.*"
    if code in EXAMPLES:
        yield f"```text\n{EXAMPLES[code]}\n```"


def _exceptions(code: Code) -> str:
    if can_be_excepted(code):
        return "can be excepted"
    return "no exceptions" if code.severity is Severity.ERROR else "nothing to except"
