"""Models whose weights may be elsewhere: fetched when they are needed, and verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.contribution import Contribution, Digests, FileFacts
from model_servers.core.findings import Code
from model_servers.core.objects import Begun, Chunk
from model_servers.core.origins import InModel, InStore, OnWeb, Trust, origin_of
from model_servers.core.reuse import checkpoint_key
from model_servers.core.spec import Checkpoint, ModelSpec
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys.contents import chunks
from model_servers.ports import BlobCache, OnBytes, Registry, Store


class OpenWeb(Protocol):
    """Reads files behind URLs."""

    def __call__(
        self, url: str, why_not: Callable[[str], str | None], begun: Begun
    ) -> Iterator[Chunk]:
        """Yield what is missing of a file, or all of it if it is another one by now.

        It is asked why not to open the URL, and what that redirects to.
        """


@dataclass(frozen=True)
class _Absent:
    """Weights that are declared, and are not there under their name."""

    path: str
    declared: Checkpoint


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A registry in which declared weights are files like any other.

    They come from the directory itself, from the cache, from the store of the
    releases, or from ``checkpoint.uri``, in this order.
    """

    registry: Registry
    cache: BlobCache
    trust: Trust
    releases: Callable[[], Store | None]
    """Gives the store of the releases, which may have checkpoints."""

    bucket: Callable[[str], Store]
    """Gives the store that is a whole bucket."""

    web: OpenWeb
    read_checkpoint: Callable[[Path], CheckpointFacts]
    fetching: Callable[[str, int], OnBytes]
    """Called with what is fetched and its size; gives the callback for its bytes."""

    _absent: dict[str, _Absent | None] = field(default_factory=dict)
    """By model; a run reads each model once."""

    _digests: dict[str, Digests] = field(default_factory=dict)

    def names(self) -> list[str]:
        """List the models, by name."""
        return self.registry.names()

    def commit(self) -> str | None:
        """Give the git commit of the checkout; None outside git."""
        return self.registry.commit()

    def read(self, name: str) -> Contribution:
        """Read one model; weights that can be had are among its files."""
        contribution = self.registry.read(name)
        absent = self._absent[name] = _absent(contribution)
        if absent is None:
            return contribution
        files, path, declared = dict(contribution.files), absent.path, absent.declared
        origin = origin_of(declared.uri) if declared.uri else None
        if isinstance(origin, InModel):
            facts = files.pop(origin.path, None)
            return replace(
                contribution, files={**files, **({path: facts} if facts else {})}
            )
        why = self.trust.why_not(declared)
        if origin is None and not self._is_stored(declared):
            return contribution
        files[path] = FileFacts(size_bytes=declared.size_bytes, is_readable=why is None)
        if why is None:
            return replace(contribution, files=files)
        finding = contribution.finding(
            Code.ORIGIN,
            f"the weights are not fetched: {why}",
            document=contribution.model or "",
            where="checkpoint.uri" if declared.uri else "checkpoint.size",
            fix="`ms checkpoint add FILE` puts them into the store of the releases",
        )
        findings = (*contribution.findings, finding)
        return replace(contribution, files=files, findings=findings)

    def sha256(self, name: str, path: str) -> str:
        """Give the sha256 of a file, of weights elsewhere as it is declared."""
        declared = self._elsewhere(name, path)
        if declared is None or _is_in_model(declared):
            return self.digests(name, path).sha256
        return declared.sha256

    def digests(self, name: str, path: str) -> Digests:
        """Hash one file of a model, fetched if need be.

        Of weights that are not what is declared, the digests are those found.
        """
        declared = self._elsewhere(name, path)
        if declared is None:
            return self.registry.digests(name, path)
        if _is_in_model(declared):
            return self.registry.digests(name, declared.uri or "")
        if declared.sha256 not in self._digests:
            self._digests[declared.sha256] = self._verified(declared)
        return self._digests[declared.sha256]

    def checkpoint(
        self, name: str, path: str, *, fetch: bool = True
    ) -> CheckpointFacts | None:
        """Say what one file holds as a checkpoint; executes nothing.

        None of weights that are not what is declared, and without *fetch* of all
        that are elsewhere.
        """
        declared = self._elsewhere(name, path)
        if declared is None:
            return self.registry.checkpoint(name, path)
        if not (fetch or _is_in_model(declared)):
            return None
        try:
            return self.read_checkpoint(self.path(name, path))
        except WrongWeightsError:
            return None

    def path(self, name: str, path: str) -> Path:
        """Say where one file of a model is, fetched if need be.

        Raises:
            RefusedError: weights are not what is declared.
        """
        declared = self._elsewhere(name, path)
        if declared is None:
            return self.registry.path(name, path)
        if _is_in_model(declared):
            return self.registry.path(name, declared.uri or "")
        return self._blob(declared)

    def _elsewhere(self, name: str, path: str) -> Checkpoint | None:
        """Give what is declared of a file that is not in the directory."""
        if name not in self._absent:
            self._absent[name] = _absent(self.registry.read(name))
        absent = self._absent[name]
        return absent.declared if absent and absent.path == path else None

    def _verified(self, declared: Checkpoint) -> Digests:
        """Hash the blob in the cache; one that has changed there is fetched again."""
        try:
            found = self.cache.digests(self._blob(declared))
            if found.sha256 != declared.sha256:
                self.cache.remove(declared.sha256)
                found = self.cache.digests(self._blob(declared))
        except WrongWeightsError as error:
            return error.found
        return found

    def _blob(self, declared: Checkpoint) -> Path:
        path = self.cache.find(declared.sha256, declared.size_bytes)
        if path is not None:
            return path
        why = self.trust.why_not(declared)
        if why is not None:
            raise RefusedError(
                f"the weights are not fetched: {why}",
                hint="`ms checkpoint add FILE` puts them into the store",
            )
        path, found = self.cache.add(
            declared.sha256,
            declared.size_bytes,
            lambda begun: self._shown(declared, begun),
        )
        if path is None:
            raise WrongWeightsError(declared, found)
        return path

    def _shown(self, declared: Checkpoint, begun: Begun) -> Iterator[Chunk]:
        """Yield the bytes of weights, and show how many there are."""
        on_bytes = self.fetching(
            declared.uri or f"checkpoint {declared.sha256[:12]}", declared.size_bytes
        )
        shown = 0
        for chunk in self._chunks(declared, begun):
            here = chunk.offset + len(chunk.data)
            on_bytes(max(0, here - shown))
            shown = max(here, shown)
            yield chunk

    def _chunks(self, declared: Checkpoint, begun: Begun) -> Iterator[Chunk]:
        """Give the bytes of weights, from the first place that has them."""
        store = self.releases()
        if store is not None and self._is_stored(declared):
            return _object(store, checkpoint_key(declared.sha256), begun)
        origin = origin_of(declared.uri) if declared.uri else None
        if isinstance(origin, InStore):
            return _object(self.bucket(origin.bucket), origin.key, begun)
        if isinstance(origin, OnWeb):
            return self.web(origin.url, self.trust.why_not_url, begun)
        raise OutsideError(
            f"nobody has the checkpoint {declared.sha256[:12]}",
            hint="`ms checkpoint add FILE` puts it into the store",
        )

    def _is_stored(self, declared: Checkpoint) -> bool:
        store, key = self.releases(), checkpoint_key(declared.sha256)
        return store is not None and store.stat(key) is not None


class WrongWeightsError(RefusedError):
    """Weights came that are not those that are declared."""

    def __init__(self, declared: Checkpoint, found: Digests) -> None:
        more = "more than " if found.size_bytes > declared.size_bytes else ""
        super().__init__(
            f"{declared.uri or 'the store'} has {more}"
            f"{min(found.size_bytes, declared.size_bytes)} bytes with sha256 "
            f"{found.sha256}, model.yaml declares {declared.size_bytes} with "
            f"{declared.sha256}",
            hint="correct checkpoint.uri, or declare other weights in a new version",
        )
        self.found = found


def _object(store: Store, key: str, begun: Begun) -> Iterator[Chunk]:
    stored = store.stat(key)
    if stored is None:
        raise OutsideError(
            f"{store.address}/{key} is not there",
            hint="correct checkpoint.uri, or `ms checkpoint add FILE`",
        )
    offset = begun.length if begun.tag == stored.token else 0
    for data in chunks(store, key, stored, on_bytes=_nothing, start=offset):
        yield Chunk(offset, data, stored.token)
        offset += len(data)


def _nothing(count: int) -> None:
    """Whoever takes the chunks shows them."""


def _absent(contribution: Contribution) -> _Absent | None:
    if contribution.model is None:
        return None
    spec = ModelSpec.from_mapping(contribution.model.data)
    path = spec.build.checkpoint_file
    if path is None or path in contribution.files or spec.checkpoint is None:
        return None
    return _Absent(path, spec.checkpoint)


def _is_in_model(declared: Checkpoint) -> bool:
    return declared.uri is not None and isinstance(origin_of(declared.uri), InModel)
