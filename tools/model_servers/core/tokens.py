"""TorchServe's keys: what its key file holds, and which are still good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Kind(Enum):
    """Which API a key opens; the texts are TorchServe's."""

    MANAGEMENT = "management"
    INFERENCE = "inference"


@dataclass(frozen=True)
class Key:
    """One key, and until when it is good."""

    text: str
    expires: str
    """In UTC, as ISO 8601 has it: such texts sort as their times do."""

    def is_expired(self, now: str) -> bool:
        """Say whether the key is of no use at *now*, in the same form."""
        return bool(self.expires) and self.expires[:19] <= now[:19]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """One ``key_file.json``.

    Source: TorchServe 0.12 writes it at each start into its working directory
        (TokenAuthorization.java).
    """

    keys: Mapping[Kind, Key]
    api: str
    """Asks for new keys; it does not expire."""

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read the document.

        Raises:
            ValueError: it is no key file.
        """
        try:
            return cls(
                keys={
                    kind: Key(
                        str(data[kind.value]["key"]),
                        str(data[kind.value].get("expiration time", "")),
                    )
                    for kind in Kind
                },
                api=str(data["API"]["key"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no key file of TorchServe: {error!r}") from error
