"""Finds the TorchServe that serves a model store among this machine's processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from model_servers.adapters.gpu_environment import environment_of
from model_servers.core.frontend import (
    MAIN_CLASS,
    Frontend,
    model_store_of,
    properties,
    temp_of,
)

_JAVA_TEMP = "/tmp"  # noqa: S108 - Java's own default


def serving_from(model_store: Path) -> Frontend | None:
    """Give the TorchServe that registers from a folder; None if it is not seen.

    One of another user is seen, but not all of it.
    """
    wanted = model_store.resolve()
    for pid, arguments in _running():
        config = _config(pid, arguments)
        store = model_store_of(arguments, config)
        if store is not None and _path(pid, store).resolve() == wanted:
            return Frontend(
                pid=pid,
                started_s=_started_s(pid),
                temp=temp_of(arguments, default=_JAVA_TEMP),
                config=config,
                flags=frozenset(one for one in arguments if one.startswith("-")),
                environment=environment_of(pid),
            )
    return None


def using_temp(temp: Path) -> bool:
    """Say whether any TorchServe of this machine unpacks below *temp*."""
    return any(
        Path(temp_of(arguments, default=_JAVA_TEMP)).resolve() == temp.resolve()
        for _, arguments in _running()
    )


def _running() -> Iterator[tuple[int, list[str]]]:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        arguments = [os.fsdecode(one) for one in line.split(b"\0") if one]
        if MAIN_CLASS in arguments:
            yield int(process.name), arguments


def _config(pid: int, arguments: list[str]) -> dict[str, str]:
    for flag in ("-f", "--ts-config-file"):
        if flag in arguments[:-1]:
            path = _path(pid, arguments[arguments.index(flag) + 1])
            try:
                return properties(path.read_text("latin-1"))
            except OSError:
                return {}
    return {}


def _path(pid: int, text: str) -> Path:
    """Give a path that a process has from its own working directory."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() / text
    except OSError:
        return Path(text)


def _started_s(pid: int) -> float:
    """Say when a process started.

    Source: proc(5): field 22 of stat, in ticks since the boot; btime of /proc/stat.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[19])
    boot = next(
        line.split()[1]
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    return int(boot) + ticks / os.sysconf("SC_CLK_TCK")
