"""Take off a host's disk what nobody needs, or only say what that would be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from model_servers.core.host import HostState
from model_servers.core.names import Ref
from model_servers.core.pruning import KEEP, Prunable, beyond_keep
from model_servers.ports import ModelStore


class Leftovers(Protocol):
    """What may go from one host."""

    def installed(self) -> Mapping[Ref, float]:
        """Say when each version came to this host."""

    def versions(self, refs: Collection[Ref]) -> Iterator[Prunable]:
        """Yield versions with what their going makes free."""

    def orphans(self, gone: Collection[Ref]) -> Iterator[Prunable]:
        """Yield what belongs to no version, once those in *gone* have gone."""

    def remove(self, one: Prunable) -> None:
        """Take an orphan off the disk; done if it is gone."""


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Pruning of one host, whose lock is held."""

    leftovers: Leftovers
    model_store: ModelStore

    def find(
        self, observed: HostState, wanted: Collection[Ref], *, keep: int = KEEP
    ) -> list[Prunable]:
        """Say what may go; nothing is touched.

        Args:
            observed: what is served, which stays, whoever registered it.
            wanted: versions that stay too: of the profile, and pinned ones.
            keep: how many other versions of each model stay for rollback.
        """
        served = {
            ref
            for ref in self.leftovers.installed()
            if any(
                ref.entry == one.location or str(ref.version) == one.version
                for one in observed.served.get(ref.name, ())
            )
        }
        gone = beyond_keep(self.leftovers.installed(), served | set(wanted), keep=keep)
        return [*self.leftovers.versions(gone), *self.leftovers.orphans(gone)]

    def remove(self, found: Collection[Prunable]) -> None:
        """Take away what was found: the versions first, by which the rest is known.

        Interrupted, it can be run again.
        """
        for one in found:
            if one.ref is not None:
                self.model_store.forget(one.ref)
            else:
                self.leftovers.remove(one)
