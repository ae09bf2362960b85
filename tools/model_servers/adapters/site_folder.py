"""A folder of pages that is replaced as a whole."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from model_servers.errors import OutsideError, RefusedError

GENERATOR = "ms site"
INDEX_FILE = "index.json"
"""Says who has made the folder; nothing else is ever replaced."""


def replace_folder(target: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Make *target* a folder with exactly these files.

    Interrupted, it leaves what was there; between two renames, for a moment, nothing.

    Raises:
        RefusedError: what is there was not made by this.
        OutsideError: the disk cannot be written.
    """
    refuse_unless_ours(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}-", dir=target.parent
        ) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            _write(new, files)
            if target.exists():
                target.replace(old)
            new.replace(target)
    except OSError as error:
        raise OutsideError(
            f"{target} cannot be written: {error.strerror}",
            hint="correct its permissions, or free some space",
        ) from error


def refuse_unless_ours(target: Path) -> None:
    """Refuse a folder with anything in it that is no catalogue.

    Raises:
        RefusedError: it is one.
    """
    if target.is_symlink() or (target.exists() and not _is_ours(target)):
        raise RefusedError(
            f"{target} is there and holds no catalogue; nothing was written",
            hint="name another folder with -o, or empty this one",
        )


def _is_ours(target: Path) -> bool:
    if not target.is_dir():
        return False
    if not any(target.iterdir()):
        return True
    try:
        data = json.loads((target / INDEX_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("generator") == GENERATOR


def _write(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    folder.mkdir(mode=0o755)
    made = {folder}
    for path, body in files:
        file = folder / path
        if file.parent not in made:
            file.parent.mkdir(parents=True, exist_ok=True)
            made.add(file.parent)
        file.write_bytes(body)
