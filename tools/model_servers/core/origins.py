"""Where weights come from that are not in git, and which places are trusted."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from model_servers.core.spec import Checkpoint

DEFAULT_HOSTS = (
    "huggingface.co",
    "*.huggingface.co",
    "*.hf.co",
    "download.pytorch.org",
    "github.com",
    "*.githubusercontent.com",
    "zenodo.org",
)
"""Where weights are published, and where those places send a client."""

DEFAULT_MAX_BYTES = 64 * 2**30

_SHOWN = 200
_HTTPS = re.compile(r"https://(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]+))?(?=[/?#])")
"""Anything before the host, such as a password, is no part of it."""


@dataclass(frozen=True)
class InStore:
    """An object of a bucket."""

    bucket: str
    key: str


@dataclass(frozen=True)
class OnWeb:
    """A file behind a URL."""

    url: str


@dataclass(frozen=True)
class InModel:
    """A file of the model's own directory."""

    path: str


Origin = InStore | OnWeb | InModel


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What is fetched at all."""

    hosts: Collection[str] = DEFAULT_HOSTS
    """Names of hosts for https; ``*.name`` is every host below one."""

    max_bytes: int = DEFAULT_MAX_BYTES

    def why_not(self, checkpoint: Checkpoint) -> str | None:
        """Say why a checkpoint is not fetched, or None if it is."""
        if checkpoint.size_bytes > self.max_bytes:
            return (
                f"it has {checkpoint.size_bytes} bytes; at most {self.max_bytes} are "
                "fetched"
            )
        origin = origin_of(checkpoint.uri) if checkpoint.uri else None
        return self.why_not_url(origin.url) if isinstance(origin, OnWeb) else None

    def why_not_url(self, url: str) -> str | None:
        """Say why a URL is not opened, or None if it is."""
        found = _HTTPS.match(url)
        if found is None:
            return f"{url[:_SHOWN]!r} is not https://host/path, without a password"
        host, port = found["host"].lower(), found["port"]
        shown = host if port in (None, "443") else f"{host}:{port}"
        if not any(_is_like(shown, pattern) for pattern in self.hosts):
            return f"the host {shown!r} is not one of {', '.join(self.hosts)}"
        return None


def origin_of(uri: str) -> Origin:
    """Read a ``checkpoint.uri`` that ``model.schema.json`` has accepted.

    >>> origin_of("s3://models/weights/cat.pt")
    InStore(bucket='models', key='weights/cat.pt')
    >>> origin_of("weights/cat.pt")
    InModel(path='weights/cat.pt')
    """
    if uri.startswith("s3://"):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return InStore(bucket, key)
    return OnWeb(uri) if re.match(r"https?://", uri) else InModel(uri)


def _is_like(host: str, pattern: str) -> bool:
    pattern = pattern.lower()
    return host.endswith(pattern[1:]) if pattern[:2] == "*." else host == pattern
