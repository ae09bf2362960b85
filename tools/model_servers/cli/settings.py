"""Settings: flags first, then ``MODEL_SERVERS_*`` variables, then what is written here.

Nothing below ``cli`` reads the environment.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_servers.core.origins import DEFAULT_HOSTS, DEFAULT_MAX_BYTES, Trust
from model_servers.errors import RequestError

REGISTRY = "MODEL_SERVERS_REGISTRY"
STORE = "MODEL_SERVERS_STORE"
ENDPOINT_URL = "MODEL_SERVERS_ENDPOINT_URL"
PROFILE = "MODEL_SERVERS_PROFILE"
WORK = "MODEL_SERVERS_WORK"
CACHE = "MODEL_SERVERS_CACHE"
CACHE_MAX_BYTES = "MODEL_SERVERS_CACHE_MAX_BYTES"
CHECKPOINT_HOSTS = "MODEL_SERVERS_CHECKPOINT_HOSTS"
CHECKPOINT_MAX_BYTES = "MODEL_SERVERS_CHECKPOINT_MAX_BYTES"

_CACHE_MAX_BYTES = 64 * 2**30


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every command may need."""

    registry: Path
    store: str | None
    endpoint_url: str | None
    profile: Path
    work: Path
    """Where `ms test` and `ms demo` keep what a second run need not do again."""

    cache: Path
    """Where weights are kept that are not in git."""

    cache_max_bytes: int
    trust: Trust
    """From where weights are fetched, and how many bytes."""

    @classmethod
    def of(
        cls, options: argparse.Namespace, environment: Mapping[str, str]
    ) -> Settings:
        """Combine the parsed flags with the environment."""

        def setting(flag: str, variable: str) -> str | None:
            value: str | None = getattr(options, flag, None)
            return value or environment.get(variable) or None

        return cls(
            registry=Path(setting("registry", REGISTRY) or "registry"),
            store=setting("store", STORE),
            endpoint_url=setting("endpoint_url", ENDPOINT_URL),
            profile=Path(setting("profile", PROFILE) or "sync.yaml"),
            work=Path(setting("work", WORK) or ".work").absolute(),
            cache=_cache(environment),
            cache_max_bytes=_bytes(environment, CACHE_MAX_BYTES, _CACHE_MAX_BYTES),
            trust=Trust(
                hosts=_names(environment.get(CHECKPOINT_HOSTS)) or DEFAULT_HOSTS,
                max_bytes=_bytes(environment, CHECKPOINT_MAX_BYTES, DEFAULT_MAX_BYTES),
            ),
        )


def _cache(environment: Mapping[str, str]) -> Path:
    if environment.get(CACHE):
        return Path(environment[CACHE]).absolute()
    home = environment.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "model-servers" / "checkpoints"


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (text or "").split(",") if one.strip())


def _bytes(environment: Mapping[str, str], variable: str, otherwise: int) -> int:
    text = environment.get(variable) or str(otherwise)
    if not text.isdecimal():
        raise RequestError(
            f"{variable} is {text!r}, expected a number of bytes",
            hint=f"unset it; then it is {otherwise}",
        )
    return int(text)
