"""Rules about the text of any file: secrets, and paths of the author's machine.

A file is looked at while it is read, one at a time, so that memory stays small.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import islice

from model_servers.core.findings import Code, Finding

_SECRETS = {
    "an AWS access key": (
        ("AKIA", "ASIA"),
        r"\b(?:AKIA|ASIA)(?!\w*EXAMPLE)[0-9A-Z]{16}\b",
    ),
    "a private key": (
        ("PRIVATE KEY",),
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    ),
    "a GitHub token": (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})",
    ),
    "a GitLab token": (("glpat-",), r"\bglpat-[\w-]{20,}"),
    "a Hugging Face token": (("hf_",), r"\bhf_[A-Za-z0-9]{30,}\b"),
    "a Slack token": (("xox",), r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),
    "a Slack webhook": (
        ("hooks.slack.com",),
        r"hooks\.slack\.com/services/T\w+/B\w+/\w+",
    ),
    "a Google API key": (("AIza",), r"\bAIza[\w-]{35}"),
    "a PyPI token": (("pypi-AgEI",), r"\bpypi-AgEI[\w-]{20,}"),
}
"""How each secret looks. A text without any of the literals, which are found much
faster, has none."""

_PASSWORD = re.compile(r"(?<=://)(?!git@|\$\{)[^/\s@]+(?=@)")

_PATTERNS = {kind: re.compile(pattern) for kind, (_, pattern) in _SECRETS.items()}
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
    for kind in _kinds(text):
        for match in islice(_PATTERNS[kind].finditer(text), _MAX_ALIKE):
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


def without_secrets(text: str) -> str:
    """Replace what nobody may read in a log.

    >>> without_secrets("--index-url https://me:password@host/simple")
    '--index-url https://***@host/simple'
    """
    for kind in _kinds(text):
        text = _PATTERNS[kind].sub("***", text)
    return _PASSWORD.sub("***", text)


def _kinds(text: str) -> list[str]:
    return [
        kind
        for kind, (literals, _) in _SECRETS.items()
        if any(literal in text for literal in literals)
    ]


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1
