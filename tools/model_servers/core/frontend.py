"""A running TorchServe as the system shows it, and what its config says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAIN_CLASS = "org.pytorch.serve.ModelServer"
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """The Java process of one TorchServe."""

    pid: int
    started_s: float
    """In seconds since 1970."""

    temp: str
    """Where it unpacks archives, and where its workers' sockets are."""

    config: Mapping[str, str] = field(default_factory=dict)
    """Its ``config.properties``."""

    flags: frozenset[str] = frozenset()
    """What it was started with, such as ``-ncs``."""

    environment: Mapping[str, str] | None = None
    """None where we may not read it."""


def model_store_of(arguments: Sequence[str], config: Mapping[str, str]) -> str | None:
    """Give the folder that a TorchServe registers from."""
    for flag in ("-s", "--model-store"):
        if flag in arguments[:-1]:
            return arguments[list(arguments).index(flag) + 1]
    return config.get("model_store")


def temp_of(arguments: Sequence[str], *, default: str) -> str:
    """Give the folder that Java calls its temp folder; the last word counts."""
    found = [
        one.partition("=")[2]
        for one in arguments
        if one.startswith("-Djava.io.tmpdir=")
    ]
    return found[-1] if found else default


def properties(text: str) -> dict[str, str]:
    r"""Read a ``config.properties``, as far as TorchServe's own have need of it.

    >>> properties("# why\nmodel_store = /srv/m\\u0061in\nenable_model_api=true\n")
    {'model_store': '/srv/main', 'enable_model_api': 'true'}
    """
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] not in "#!")
    return {key.strip(): _unescaped(value.strip()) for key, _, value in pairs}


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(
        lambda match: chr(int(match[1][1:], 16)) if len(match[1]) > 1 else match[1],
        value,
    )
