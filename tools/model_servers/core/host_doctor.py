"""What a GPU host must have: facts about it judged, each with the way to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model_servers.core.doctor import (
    LONGEST_TEMP_BYTES,
    TORCHSERVE,
    Check,
    Folder,
    State,
)
from model_servers.core.entries import Layout
from model_servers.core.frontend import Frontend
from model_servers.core.gpus import MEND, Gpus
from model_servers.core.host import ServedVersion
from model_servers.core.units import is_loopback

_GIB = 2**30
_ENOUGH_BYTES = 5 * _GIB
_INSTALL = "ms sync install --print config.properties writes a right one"
_APPLY = "ms sync apply"
_LONGEST_TEMP_BYTES = LONGEST_TEMP_BYTES + len("/ms-ts-12345678")
"""As for a TorchServe of our own, which has a folder in the temp folder."""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """The facts about one host; errors are what was said instead of an answer."""

    store: str
    store_error: str = ""
    model_store: Folder
    owner: str = ""
    """Of the model store."""

    user: str = ""
    """Who runs this."""

    layout: Layout = Layout.DIR
    lock_holder: str = ""
    """The process that is at work on the model store."""

    prunable_bytes: int = 0
    unrecorded_trees: int = 0
    python: str | None = None
    """What the host profile names; None if it names none."""

    python_error: str = ""
    config: str | None = None
    """What the host profile names; None if it names none."""

    config_error: str = ""
    management: str
    key_file: str | None = None
    server_error: str = ""
    server_version: str = ""
    served: Mapping[str, tuple[ServedVersion, ...]]
    frontend: Frontend | None = None
    """The TorchServe of the model store; None if its process is not seen."""

    gpus: Gpus
    gpu_error: str = ""
    mask: str | None = None
    """TorchServe's CUDA_VISIBLE_DEVICES."""


def check(facts: HostFacts) -> list[Check]:
    """Judge every fact, in the order in which a host is built up."""
    return [
        _store(facts),
        _model_store(facts),
        *_user(facts),
        *_layout(facts),
        *_disk(facts),
        *_named_files(facts),
        _server(facts),
        *_version(facts),
        *_process(facts),
        _management(facts),
        *_versions(facts),
        _gpu(facts),
    ]


def _store(facts: HostFacts) -> Check:
    return _judged(
        "store",
        found=facts.store_error or facts.store,
        expected="a store that answers",
        is_good=not facts.store_error,
        fix="correct store: in the host profile, or its credentials; what is served "
        "goes on without it",
        otherwise=State.WARNING,
    )


def _model_store(facts: HostFacts) -> Check:
    folder = facts.model_store
    expected = f"a folder that can be written, {_ENOUGH_BYTES // _GIB} GiB free"
    if folder.free_bytes is None:
        return _judged(
            "model store",
            found=f"{folder.path} cannot be written",
            expected=expected,
            fix="make the folder for TorchServe's user, and run ms as that user",
        )
    return _judged(
        "model store",
        found=f"{folder.path}, {folder.free_bytes / _GIB:.1f} GiB free",
        expected=expected,
        is_good=folder.free_bytes >= _ENOUGH_BYTES,
        fix="make room; ms sync prune shows what is not needed",
        otherwise=State.WARNING,
    )


def _user(facts: HostFacts) -> Iterator[Check]:
    """Warn of root above all, who may write what others cannot take away then."""
    is_writable = facts.model_store.free_bytes is not None
    if is_writable and facts.owner != facts.user:
        yield _judged(
            "user",
            found=f"{facts.user}, but the model store is {facts.owner}'s",
            expected="one user for both, and for TorchServe",
            fix=f"run ms as {facts.owner}: sudo -u {facts.owner} ms sync doctor",
            otherwise=State.WARNING,
        )


def _layout(facts: HostFacts) -> Iterator[Check]:
    if facts.layout is Layout.MAR:
        yield Check(
            name="layout",
            state=State.OK,
            found="mar, with requirements packed by sync; TorchServe unpacks each "
            "archive when it registers it, on threads that answer, and when it starts",
        )


def _disk(facts: HostFacts) -> Iterator[Check]:
    yield _judged(
        "leftovers",
        found=f"{facts.prunable_bytes / 2**20:.0f} MiB that nobody needs",
        expected="none",
        is_good=facts.prunable_bytes < _GIB,
        fix="ms sync prune --yes",
        otherwise=State.WARNING,
    )
    if facts.unrecorded_trees:
        yield _judged(
            "trees",
            found=f"{facts.unrecorded_trees} without a record of what they should be",
            expected="none",
            fix="ms sync verify",
        )
    if facts.lock_holder:
        yield Check(
            name="lock",
            state=State.OK,
            found=f"process {facts.lock_holder} is at work here",
        )


def _named_files(facts: HostFacts) -> Iterator[Check]:
    """Judge what is first needed when a model has requirements, or after a crash."""
    if facts.python is not None:
        yield _judged(
            "python",
            found=facts.python_error or facts.python,
            expected="the Python of TorchServe's workers, for requirements of models",
            is_good=not facts.python_error,
            fix="correct torchserve.python in the host profile",
        )
    if facts.config is not None:
        yield _judged(
            "config",
            found=facts.config_error or facts.config,
            expected="the config that `ms sync boot` makes TorchServe's next start of",
            is_good=not facts.config_error,
            fix=f"ms sync install --print config.properties > {facts.config}; or "
            "correct torchserve.config in the host profile",
        )


def _server(facts: HostFacts) -> Check:
    return _judged(
        "torchserve",
        found=facts.server_error or f"answers at {facts.management}",
        expected="an answer",
        is_good=not facts.server_error,
        fix="start TorchServe: ms sync install --print torchserve.service; or correct "
        "torchserve: in the host profile",
    )


def _version(facts: HostFacts) -> Iterator[Check]:
    if facts.server_version:
        yield _judged(
            "version",
            found=facts.server_version,
            expected=TORCHSERVE,
            is_good=facts.server_version == TORCHSERVE,
            fix=f"pip install torchserve=={TORCHSERVE}; traps of others are not known",
            otherwise=State.WARNING,
        )


def _process(facts: HostFacts) -> Iterator[Check]:
    """Judge how TorchServe was started, as far as that is seen."""
    running = facts.frontend
    if running is None:
        if not facts.server_error:
            yield _judged(
                "process",
                found="no TorchServe of this model store is seen here",
                expected="one; its config cannot be checked",
                fix="name TorchServe's own model_store in the host profile; nothing to "
                "do if it runs in a container of its own",
                otherwise=State.WARNING,
            )
        return
    yield from _settings(running, facts.key_file)
    size_bytes = len(running.temp.encode(errors="surrogateescape"))
    yield _judged(
        "temp path",
        found=f"{running.temp}, {size_bytes} bytes",
        expected=f"at most {_LONGEST_TEMP_BYTES}, for the sockets of workers below it",
        is_good=size_bytes <= _LONGEST_TEMP_BYTES,
        fix="start TorchServe with a shorter TEMP",
    )


def _settings(running: Frontend, key_file: str | None) -> Iterator[Check]:
    config, flags = running.config, running.flags
    yield _judged(
        "snapshots",
        found="off" if flags & {"-ncs", "--ncs", "--no-config-snapshots"} else "on",
        expected="off; they bring back what sync has taken off",
        is_good=bool(flags & {"-ncs", "--ncs", "--no-config-snapshots"}),
        fix="start TorchServe with --ncs",
    )
    may_register = (
        config.get("enable_model_api") == "true" or "--enable-model-api" in flags
    )
    yield _judged(
        "model API",
        found="on" if may_register else "off",
        expected="on; without it nothing can be registered",
        is_good=may_register,
        fix=f"enable_model_api=true; {_INSTALL}",
    )
    urls = config.get("allowed_urls", "")
    is_open = not urls or "http" in urls or "file" in urls
    yield _judged(
        "allowed_urls",
        found=urls or "everything",
        expected="nothing; models come from the model store, verified",
        is_good=not is_open,
        fix=f"allowed_urls=none://.*; {_INSTALL}",
        otherwise=State.WARNING,
    )
    installs = config.get("install_py_dep_per_model") == "true"
    yield _judged(
        "requirements",
        found="installed by TorchServe" if installs else "left to sync",
        expected="left to sync; TorchServe hangs once pip prints 64 KiB",
        is_good=not installs,
        fix=f"install_py_dep_per_model=false; {_INSTALL}",
    )
    yield _tokens(running, key_file)


def _tokens(running: Frontend, key_file: str | None) -> Check:
    is_off = (
        running.config.get("disable_token_authorization") == "true"
        or "--disable-token-auth" in running.flags
    )
    return _judged(
        "tokens",
        found="off" if is_off else f"on, keys in {key_file or 'a file not named'}",
        expected="off, or on with key_file in the host profile",
        is_good=is_off or key_file is not None,
        fix="add torchserve.key_file to the host profile",
    )


def _management(facts: HostFacts) -> Check:
    listens = (
        facts.frontend.config.get("management_address") if facts.frontend else None
    ) or facts.management
    return _judged(
        "management",
        found=listens,
        expected="loopback; who reaches it can run any code here",
        is_good=is_loopback(listens),
        fix=f"management_address=http://127.0.0.1:8081; {_INSTALL}",
    )


def _versions(facts: HostFacts) -> Iterator[Check]:
    """Tell versions that do not answer, whatever TorchServe's /ping says."""
    for name, versions in sorted(facts.served.items()):
        for one in versions:
            if not one.is_ready:
                yield _judged(
                    f"{name}@{one.version}",
                    found=f"{one.workers_ready} of {one.workers} workers ready",
                    expected="all, and one at least",
                    fix=f"{_APPLY} restarts them; read TorchServe's model_log.log",
                    otherwise=State.PROBLEM if one.is_default else State.WARNING,
                )
    ready = sum(one.is_ready for every in facts.served.values() for one in every)
    if ready:
        yield Check(
            name="models",
            state=State.OK,
            found=f"{ready} version{'' if ready == 1 else 's'} ready",
        )


def _gpu(facts: HostFacts) -> Check:
    expected = "optional"
    if facts.gpu_error:
        return _judged(
            "gpu",
            found=facts.gpu_error,
            expected="a driver that answers",
            fix=MEND,
        )
    if not facts.gpus.devices:
        is_asked = facts.mask is not None
        return _judged(
            "gpu",
            found=facts.gpus.why_none or "none",
            expected=expected,
            is_good=not is_asked,
            fix="give TorchServe a CUDA_VISIBLE_DEVICES of numbers of GPUs",
        )
    cut = [device.index for device in facts.gpus.devices if device.is_mig]
    found = ", ".join(
        f"{device.index} {device.name} {device.free_mib} of {device.total_mib} MiB free"
        for device in facts.gpus.devices
    )
    if facts.mask is not None:
        found += f" (CUDA_VISIBLE_DEVICES={facts.mask})"
    return _judged(
        "gpu",
        found=found if not cut else f"{found}; MIG on {', '.join(map(str, cut))}",
        expected="no MIG; TorchServe 0.12 cannot be given an instance",
        is_good=not cut,
        fix="nvidia-smi -i N -mig 0, or leave that GPU to others",
        otherwise=State.WARNING,
    )


def _judged(
    name: str,
    *,
    found: str,
    expected: str,
    fix: str,
    is_good: bool = False,
    otherwise: State = State.PROBLEM,
) -> Check:
    return Check(
        name=name,
        state=State.OK if is_good else otherwise,
        found=found,
        expected=expected,
        fix="" if is_good else fix,
    )
