"""Settings: flags first, then ``MODEL_SERVERS_*`` variables, then what is written here.

Nothing below ``cli`` reads the environment.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REGISTRY = "MODEL_SERVERS_REGISTRY"
STORE = "MODEL_SERVERS_STORE"
ENDPOINT_URL = "MODEL_SERVERS_ENDPOINT_URL"
PROFILE = "MODEL_SERVERS_PROFILE"
WORK = "MODEL_SERVERS_WORK"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every command may need."""

    registry: Path
    store: str | None
    endpoint_url: str | None
    profile: Path
    work: Path
    """Where `ms test` and `ms demo` keep what a second run need not do again."""

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
        )
