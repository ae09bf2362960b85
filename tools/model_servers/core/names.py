"""Names of models, ordered versions, and references to both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

LATEST = "latest"
"""The computed channel: the highest released version."""

NAME_PATTERN = r"[a-z][a-z0-9]*([_-][a-z0-9]+)*"
NAME_MAX_LENGTH = 64
VERSION_PATTERN = r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(?:\.(0|[1-9][0-9]{0,8}))?"

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)


def why_not_a_name(text: str) -> str | None:
    """Say why *text* cannot name a model, or None if it can.

    Names are keys in a store, directories and URL segments, so they are kept to
    lower-case letters, digits, ``_`` and ``-``.

    Source: a management request whose text contains ``/token`` is taken for the
        token API, so a model called ``token…`` cannot be described or removed
        (TorchServe 0.12, TokenAuthorizationHandler.java:43).
    """
    if _NAME.fullmatch(text) is None:
        return (
            "it must be lower-case letters and digits, joined by single _ or -, "
            "a letter first"
        )
    if len(text) > NAME_MAX_LENGTH:
        return f"it has {len(text)} characters; at most {NAME_MAX_LENGTH} are allowed"
    if text.startswith("token"):
        return "TorchServe cannot manage models whose name starts with 'token'"
    return None


def like_a_name(text: str) -> str | None:
    """Give a name that can be used and is like *text*, or None if there is none.

    >>> like_a_name("My Network")
    'my_network'
    """
    name = "_".join(re.findall("[a-z0-9]+", text.lower()))
    return name if why_not_a_name(name) is None else None


@dataclass(frozen=True, order=True)
class Version:
    """A version; ``1.10`` is newer than ``1.9``, and ``1.0`` is not ``1.0.0``.

    >>> max(Version.parse("1.9"), Version.parse("1.10")).text
    '1.10'
    """

    numbers: tuple[int, int, int]
    text: str
    """As written: TorchServe and the store know a version by its text."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``MAJOR.MINOR`` or ``MAJOR.MINOR.PATCH``.

        Raises:
            ValueError: *text* is anything else.
        """
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"version {text!r} is not MAJOR.MINOR[.PATCH]")
        major, minor, patch = (int(part or 0) for part in match.groups())
        return cls((major, minor, patch), text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, order=True)
class Ref:
    """One version of one model; ``parse(str(ref)) == ref``."""

    name: str
    version: Version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name@version``.

        Raises:
            ValueError: *text* is anything else.
        """
        name, at, version = text.partition("@")
        if not at:
            raise ValueError(f"{text!r} is not NAME@VERSION")
        reason = why_not_a_name(name)
        if reason is not None:
            raise ValueError(f"{name!r} cannot name a model: {reason}")
        return cls(name, Version.parse(version))

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def entry(self) -> str:
        """The name of this version in TorchServe's model store.

        Versions have no ``-``, so no two refs share an entry.
        """
        return f"{self.name}-{self.version}"
