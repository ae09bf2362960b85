"""The model's directory: what is in it, `system.extraFiles`, locks and markers."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import logging
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from model_servers_handler.errors import LoadError, blamed

logger = logging.getLogger("model_servers.handler")

STATE_DIRECTORY = ".model-servers"
RESERVED = (STATE_DIRECTORY, "MAR-INF", "base_handler.py", "model_servers_handler")


@dataclass(frozen=True)
class Archive:
    """The unpacked .mar that this worker serves."""

    directory: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @classmethod
    def of(cls, context: Any) -> Archive:
        """Read what TorchServe says about the model; an empty YAML file is None."""
        directory = Path(context.system_properties["model_dir"])
        return cls(directory, context.manifest or {}, context.model_yaml_config or {})

    def member(self, key: str) -> Path | None:
        """Give the file that the manifest names under *key*, None if it names none."""
        name: str | None = self.manifest.get("model", {}).get(key)
        if not name:
            return None
        path = self.directory / name
        if not path.is_file():
            raise LoadError(f"{key} is {name}, which is not in the archive")
        return path


def unpack_extra_files(directory: Path, names: Sequence[str]) -> None:
    """Unpack `system.extraFiles` beside the model file, once for all workers.

    If interrupted, files may be in place and the marker is not: the next worker
    unpacks again.
    """
    if not names:
        return
    state = state_directory(directory)
    with locked(state / "lock"):
        for name in names:
            with blamed(f"system.extraFiles: {name} cannot be unpacked"):
                _unpack_once(directory, name, state)
    importlib.invalidate_caches()


def _unpack_once(directory: Path, name: str, state: Path) -> None:
    source = directory / member_path(name)
    if not source.is_file():
        there = ", ".join(sorted(path.name for path in directory.iterdir()))
        raise LoadError(
            f"system.extraFiles names {name}, which is not in the archive;"
            f" it has {there}"
        )
    digest = sha256_of(source)
    marker = f"unpacked-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    inside = directory / STATE_DIRECTORY / marker
    if inside.is_file() and inside.read_text() == digest:
        return
    if state.parent != directory:
        raise LoadError(
            f"system.extraFiles: the model's directory is read-only, so {name} cannot"
            " be unpacked in it; serve a writable copy of the directory"
        )
    with tempfile.TemporaryDirectory(dir=state, prefix="unpack-") as staging:
        extract(source, Path(staging))
        move_into(Path(staging), directory)
    write_atomically(inside, digest)


def member_path(name: str) -> PurePosixPath:
    """Give an archive member's path below the model's directory.

    Raises:
        ValueError: it would be elsewhere, or in a place that is not the author's.
    """
    path = PurePosixPath(name)
    odd = "\\" in name or "\0" in name or name.strip() == ""
    if odd or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"member {name!r} is outside of the model's directory")
    if path.parts and path.parts[0] in RESERVED:
        raise ValueError(f"member {name!r} has a name that is not the author's to use")
    return path


def extract(source: Path, target: Path) -> None:
    """Extract a tar (however compressed) or zip file; only files and directories.

    What it is decides its content: the guide's own `tar -cvf x.tar.gz` makes an
    uncompressed file.
    """
    with source.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    members = _zip_members(source) if is_zip else _tar_members(source)
    for name, mode, content in members:
        path = target / member_path(name)
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        path.chmod(0o755 if mode & 0o100 else 0o644)


def _tar_members(source: Path) -> Iterator[tuple[str, int, Any]]:
    try:
        archive = tarfile.open(source)  # noqa: SIM115 - closed below
    except tarfile.ReadError as error:
        raise ValueError("it is neither a tar nor a zip archive") from error
    with archive:
        for member in archive:
            if not (member.isreg() or member.isdir()):
                raise ValueError(f"member {member.name!r} is a link or a device")
            content = archive.extractfile(member) if member.isreg() else None
            yield member.name, member.mode, content


def _zip_members(source: Path) -> Iterator[tuple[str, int, Any]]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"member {member.filename!r} is a link or a device")
            if member.is_dir():
                yield member.filename, mode, None
                continue
            with archive.open(member) as content:
                yield member.filename, mode, content


def move_into(staging: Path, directory: Path) -> None:
    """Rename every file below *staging* to its place below *directory*."""
    root = directory.resolve()
    for path in sorted(staging.rglob("*")):
        target = directory / path.relative_to(staging)
        place = target if path.is_dir() else target.parent
        place.mkdir(parents=True, exist_ok=True)
        if not place.resolve().is_relative_to(root):
            raise ValueError(f"{target.name} would be put through a link to elsewhere")
        if path.is_file():
            path.replace(target)


def state_directory(directory: Path) -> Path:
    """Give the directory of locks and markers: the model's own if it is writable."""
    own = directory / STATE_DIRECTORY
    try:
        own.mkdir(exist_ok=True)
        if os.access(own, os.W_OK):
            return own
    except OSError:
        pass
    digest = hashlib.sha256(os.path.realpath(directory).encode()).hexdigest()[:16]
    shared = Path(tempfile.gettempdir()) / f"model-servers-{os.getuid()}"
    shared.mkdir(mode=0o700, exist_ok=True)
    if shared.is_symlink() or shared.stat().st_uid != os.getuid():
        raise LoadError(f"{shared} belongs to another user; remove it")
    other = shared / digest
    other.mkdir(exist_ok=True)
    logger.warning("the model's directory is read-only; its markers are in %s", other)
    return other


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock among this host's workers; it ends with the process at the latest."""
    import fcntl

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            logger.info("waiting for another worker of this model")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees all of it or none."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, "utf-8", "replace")
    temporary.replace(path)


def sha256_of(path: Path) -> str:
    """Give a file's sha256, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def handler_digest() -> str:
    """Give one sha256 of the files of this handler, as the build computes it too."""
    package = Path(__file__).parent
    files = [package.with_name("base_handler.py"), *package.glob("*.py")]
    digests = {str(file.relative_to(package.parent)): sha256_of(file) for file in files}
    text = json.dumps(digests, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
