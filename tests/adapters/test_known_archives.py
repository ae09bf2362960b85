"""What is packed again need not be hashed again, and is what it was."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.digest_cache import DigestCache
from model_servers.adapters.known_archives import KnownArchives
from model_servers.adapters.mar import MarWriter
from model_servers.errors import OutsideError
from model_servers.journeys.build import Build, Built

A_DAY_NS = 86_400 * 10**9


class Remembering:
    """Builds as ``ms build`` does, in a work folder."""

    def __init__(self, folder: Path) -> None:
        self.model = zoo.make_model(folder / "registry", "cat")
        self.checkpoint = self.model / "checkpoint.pt"
        self.checkpoint.write_bytes(b"weights" * 700_000)
        self.out = folder / "out"
        self.known = folder / "known"
        # The file has not just been written, as far as the cache can tell.
        later = self.checkpoint.stat().st_ctime_ns + A_DAY_NS
        self._digests = DigestCache(folder / "digests", now_ns=lambda: later)

    def build(self) -> Built:
        registry = Checkout(self.model.parent, digest=self._digests.digest)
        build = Build(registry=registry, writer=MarWriter(KnownArchives(self.known)))
        return build.write(build.recipe("cat"), self.out)


@pytest.fixture
def remembering(tmp_path: Path) -> Remembering:
    return Remembering(tmp_path)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_archive_that_is_known_is_what_it_was(remembering: Remembering) -> None:
    first = remembering.build()
    data = first.path.read_bytes()
    first.path.unlink()

    again = remembering.build()

    assert again == first
    assert again.path.read_bytes() == data


def test_what_is_known_is_not_hashed_again(remembering: Remembering) -> None:
    remembering.build()
    (entry,) = remembering.known.iterdir()
    key, sha256 = entry.read_text().split()
    entry.write_text(f"{key} {sha256[::-1]}")

    assert remembering.build().archive.sha256 == sha256[::-1]


def code(model: Path) -> None:
    (model / "handler_model.py").write_text(f"# New.\n{zoo.HANDLER}")


def weights(model: Path) -> None:
    (model / "checkpoint.pt").write_bytes(b"WEIGHTS" * 700_000)


def name_of_a_file(model: Path) -> None:
    text = (model / "model.yaml").read_text()
    (model / "model.yaml").write_text(text.replace("checkpoint.pt", "other.pt"))
    (model / "checkpoint.pt").rename(model / "other.pt")


@pytest.mark.parametrize("change", [code, weights, name_of_a_file])
def test_any_other_archive_is_hashed(
    remembering: Remembering, change: Callable[[Path], None]
) -> None:
    first = remembering.build().archive.sha256
    change(remembering.model)

    built = remembering.build()

    assert built.archive.sha256 == digest_of(built.path) != first


@pytest.mark.parametrize("text", ["", "no digest", "0" * 64, f"{'0' * 64} {'0' * 64}"])
def test_a_damaged_entry_costs_time_only(remembering: Remembering, text: str) -> None:
    remembering.build()
    (entry,) = remembering.known.iterdir()
    entry.write_text(text)

    built = remembering.build()

    assert built.archive.sha256 == digest_of(built.path)


def test_a_folder_that_cannot_be_written_costs_time_only(
    remembering: Remembering,
) -> None:
    remembering.known.write_text("not a folder")

    built = remembering.build()

    assert built.archive.sha256 == digest_of(built.path)


def test_an_input_is_compared_also_if_the_archive_is_known(
    remembering: Remembering,
) -> None:
    checkpoint = remembering.checkpoint
    with checkpoint.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapping:
        # Pages that are to be written to the disk already: more writes change no time.
        mapping[:] = bytes(mapping)
        first = remembering.build()
        first.path.unlink()
        mapping[-1] ^= 1

        with pytest.raises(OutsideError, match="changed after it was hashed"):
            remembering.build()

    assert not first.path.exists()
