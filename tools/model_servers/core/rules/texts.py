"""Rules about the text of any file: secrets, and paths of the author's machine.

A file is looked at while it is read, one at a time, so that memory stays small.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import islice

from model_servers.core.findings import Code, Finding
from model_servers.core.secrets import PATTERNS, kinds

_CODE_ENDINGS = {
    ".bash",
    ".cfg",
    ".ini",
    ".json",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
# /home/model-server is where TorchServe's own images run.
_HOME = re.compile(
    r"(?<![\w.~:/-])/(?:home/(?!model-server\b)|Users/)[\w.-]+(?=/)"
    r"|\b[A-Za-z]:[\\/]{1,2}Users[\\/]{1,2}\w+"
)


_MAX_ALIKE = 21
"""One more than anybody is shown of one kind in one file."""


def scan(text: str, *, path: str, shown_as: str) -> Iterator[Finding]:
    """Yield what a text should not hold.

    Args:
        text: of one file.
        path: of the file, which tells sources from other texts.
        shown_as: the path that findings name.
    """
    for kind in kinds(text):
        for match in islice(PATTERNS[kind].finditer(text), _MAX_ALIKE):
            yield Finding(
                path=shown_as,
                line=_line(text, match),
                code=Code.SECRET,
                message=f"this looks like {kind}",
                fix="revoke it where it was issued, then take it out of the file",
            )
    is_code = posixpath.splitext(path)[1] in _CODE_ENDINGS
    if not is_code or not ("/home/" in text or "Users" in text):
        return
    for match in islice(_HOME.finditer(text), _MAX_ALIKE):
        yield Finding(
            path=shown_as,
            line=_line(text, match),
            code=Code.ABSOLUTE_PATH,
            message=f"{match.group()!r} exists only on its author's machine",
            fix="use a path relative to the file: `Path(__file__).parent / name`",
        )


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1
