"""How secrets look, and texts without them."""

from __future__ import annotations

import re

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

PATTERNS = {kind: re.compile(pattern) for kind, (_, pattern) in _SECRETS.items()}


def without_secrets(text: str) -> str:
    """Replace what nobody may read in a log.

    >>> without_secrets("--index-url https://me:password@host/simple")
    '--index-url https://***@host/simple'
    """
    for kind in kinds(text):
        text = PATTERNS[kind].sub("***", text)
    return _PASSWORD.sub("***", text)


def kinds(text: str) -> list[str]:
    """Name the kinds of secrets that a text may have; ``PATTERNS`` find them."""
    return [
        kind
        for kind, (literals, _) in _SECRETS.items()
        if any(literal in text for literal in literals)
    ]
