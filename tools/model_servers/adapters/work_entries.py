"""Entries of a model store that are directories: what models run in.

::

    <model_store>/
        <name>-<version>            a link to work/<sha256>: what TorchServe registers
        .model-servers/
            work/<sha256>/          the tree's files, its requirements, and what the
                                    model's handler adds
            work/<sha256>-<overlay>/  the same with another model config

TorchServe links a registered directory instead of copying it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from model_servers.adapters import copying, disk
from model_servers.adapters.entries import why_unusable
from model_servers.adapters.requirements import Requirements
from model_servers.adapters.tree_files import (
    HOME,
    Entry,
    manifest_model,
    overlaid_config,
)
from model_servers.core.entries import Layout
from model_servers.core.layout import RELEASE_MEMBER
from model_servers.core.names import Ref
from model_servers.core.overlay import Overlay, overlay_digest

_OVERLAY = "overlay.json"
"""What this host has changed in the model config, beside it."""

_COPY_BELOW_BYTES = 2**20
"""Small files of a tree are copied for a model to run in, large ones shared."""


class WorkEntries:
    """The directories of one model store."""

    layout = Layout.DIR

    def __init__(self, root: Path, requirements: Requirements) -> None:
        self._root = root
        self._home = root / HOME
        self._requirements = requirements

    def find(self, ref: Ref) -> Entry | None:
        """Say what the entry of a version is made of; None if it is not ours."""
        entry = self._root / ref.entry
        if not entry.is_symlink() or not entry.is_dir():
            return None
        if entry.readlink().parent != Path(HOME, "work"):
            return None
        sha256 = entry.readlink().name.partition("-")[0]
        return Entry(sha256=sha256, overlay=_read_overlay(entry))

    def make(self, ref: Ref, tree: Path, overlay: Overlay) -> None:
        """Lay out what a version runs in, and have its entry be a link to that.

        The model may write there: its handler unpacks and installs. Small files
        are copies, so that it can spoil nothing that others share.
        """
        self._link(ref, self._make_work(tree, overlay))

    def is_right(self, ref: Ref) -> bool:
        """Say whether TorchServe could load the entry; large files are not read."""
        return not why_unusable(self._root, ref)

    def remove(self, ref: Ref) -> None:
        """Take the entry away, with all that was laid out for it."""
        entry = self.find(ref)
        if entry is not None:
            (self._root / ref.entry).unlink()
            for work in (self._home / "work").glob(f"{entry.sha256}*"):
                shutil.rmtree(work, ignore_errors=True)

    def running(self, ref: Ref) -> Iterator[Path]:
        """Yield the folders in which a version runs, if it does."""
        yield self._root / ref.entry

    def _make_work(self, tree: Path, overlay: Overlay) -> Path:
        digest = overlay_digest(overlay)
        work = self._home / "work" / (f"{tree.name}-{digest}" if digest else tree.name)
        partial = work.with_name(f".partial-{tree.name}")
        shutil.rmtree(partial, ignore_errors=True)
        for file in sorted(path for path in tree.rglob("*") if path.is_file()):
            target = partial / file.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.stat().st_size < _COPY_BELOW_BYTES:
                shutil.copyfile(file, target)
            else:
                copying.share(file, target)
        # An archive cannot hold its own digest; a model that is asked can tell it.
        shutil.copyfile(tree.with_suffix(".json"), partial / RELEASE_MEMBER)
        if overlay:
            _write_overlay(tree, partial, overlay)
        requirements = manifest_model(tree).get("requirementsFile")
        if requirements is not None:
            self._add_packages(tree / requirements, partial)
        disk.sync(partial)
        shutil.rmtree(work, ignore_errors=True)
        partial.rename(work)
        return work

    def _add_packages(self, requirements: Path, target: Path) -> None:
        """Link the packages where TorchServe's own install would put them."""
        for package in self._requirements.installed(requirements).iterdir():
            link = target / package.name
            if not link.exists():
                link.symlink_to(package)

    def _link(self, ref: Ref, work: Path) -> None:
        link = self._root / ref.entry
        fresh = self._home / f".partial-{ref.entry}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(work.relative_to(self._root))
        fresh.replace(link)
        disk.sync(self._root)


def _read_overlay(work: Path) -> Overlay:
    """Give what was changed; nothing too if that has rotted, so that it comes anew."""
    try:
        overlay: Overlay = json.loads((work / _OVERLAY).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return overlay


def _write_overlay(tree: Path, work: Path, overlay: Overlay) -> None:
    """Change the model config in *work*, which is a copy, and say what was changed."""
    name, text = overlaid_config(tree, overlay)
    (work / name).unlink(missing_ok=True)  # a large file is shared
    (work / name).write_text(text, "utf-8")
    (work / _OVERLAY).write_text(json.dumps(dict(overlay)), "utf-8")
