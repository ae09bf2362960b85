"""Take off a host's disk what nobody needs, or only say what that would be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from model_servers.core.entries import layout_of
from model_servers.core.host import HostState
from model_servers.core.names import Ref
from model_servers.core.pruning import KEEP, Kind, Prunable, beyond_keep
from model_servers.ports import HostMemory, ModelStore


class Leftovers(Protocol):
    """What may go from one host."""

    def installed(self) -> Mapping[Ref, float]:
        """Say when each version came to this host."""

    def versions(self, refs: Collection[Ref]) -> Iterator[Prunable]:
        """Yield versions with what their going makes free."""

    def doubles(self, used: Collection[str]) -> list[Prunable]:
        """Give what a change of the layout has left, but entries in *used*."""

    def unnamed(self) -> Mapping[str, Ref]:
        """Say of which version the trees are that none has yet, or any more.

        By the digest of its archive, which is a tree's name.
        """

    def orphans(
        self,
        gone: Collection[Ref],
        doubles: Collection[Prunable],
        *,
        awaited: Collection[str],
    ) -> Iterator[Prunable]:
        """Yield what belongs to no version, once *gone* and *doubles* have gone.

        But the trees *awaited*, by their digests.
        """

    def remove(self, one: Prunable) -> None:
        """Take an orphan off the disk; done if it is gone."""


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Pruning of one host, whose lock is held."""

    leftovers: Leftovers
    model_store: ModelStore
    memory: HostMemory

    def find(
        self,
        observed: HostState,
        wanted: Collection[Ref],
        *,
        unsure: Collection[str] = (),
        keep: int = KEEP,
    ) -> list[Prunable]:
        """Say what may go; nothing is touched.

        Args:
            observed: what is served, which stays, whoever registered it.
            wanted: versions that stay too: of the profile, and pinned ones. So does
                what was fetched of them ahead of their turn.
            unsure: models of which nobody can say now what is wanted. What was
                fetched of them stays.
            keep: how many other versions of each model stay for rollback.
        """
        served = {
            ref
            for ref in self.leftovers.installed()
            if any(
                layout_of(ref, one.location) or str(ref.version) == one.version
                for one in observed.served.get(ref.name, ())
            )
        }
        gone = beyond_keep(self.leftovers.installed(), served | set(wanted), keep=keep)
        doubles = self.leftovers.doubles(
            {one.location for versions in observed.served.values() for one in versions}
        )
        return [
            *self.leftovers.versions(gone),
            *doubles,
            *self.leftovers.orphans(
                gone,
                doubles,
                awaited=[
                    sha256
                    for sha256, ref in self.leftovers.unnamed().items()
                    if ref in wanted or ref.name in unsure
                ],
            ),
        ]

    def remove(self, found: Collection[Prunable]) -> None:
        """Take away what was found: the versions first, by which the rest is known.

        Interrupted, it can be run again.
        """
        if any(one.kind is Kind.ENTRY for one in found):
            # TorchServe must not start with what goes now.
            self.memory.write(self.memory.read())
        for one in found:
            if one.ref is not None:
                self.model_store.forget(one.ref)
            else:
                self.leftovers.remove(one)
