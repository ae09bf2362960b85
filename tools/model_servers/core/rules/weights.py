"""Rules about the checkpoint and other large files."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from model_servers.core.checkpoint import OTHER, PICKLE, TORCHSCRIPT, CheckpointFacts
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import used_files
from model_servers.core.rules.sources import calls_factory
from model_servers.core.rules.subject import Subject

_LARGE_BYTES = 10 * 2**20
_TORCH_ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
_SAVE = "torch.save(model.state_dict(), path)"


def checkpoint(subject: Subject) -> Iterator[Finding]:
    """The checkpoint is the one that ``model.yaml`` declares."""
    path, declared = subject.spec.build.checkpoint_file, subject.spec.checkpoint
    facts = subject.contribution.files.get(path or "")
    if declared is None or path is None or facts is None or not facts.is_readable:
        return
    if facts.size_bytes != declared.size_bytes:
        yield subject.in_model(
            Code.CHECKPOINT,
            f"{path!r} has {facts.size_bytes} bytes, model.yaml declares "
            f"{declared.size_bytes}",
            where="checkpoint.size",
            fix="restore the checkpoint, or declare its size: "
            f"ms lock {subject.spec.name}",
        )
    elif subject.digest(path) != declared.sha256:
        yield subject.in_model(
            Code.CHECKPOINT,
            f"{path!r} has sha256 {subject.digest(path)}, model.yaml declares "
            f"{declared.sha256}",
            where="checkpoint.sha256",
            fix="restore the checkpoint, or declare its sha256: "
            f"ms lock {subject.spec.name}",
        )


def large(subject: Subject) -> Iterator[Finding]:
    """Large files are declared, so that they can live outside git."""
    weights = subject.spec.build.checkpoint_file
    for path in used_files(subject.members):
        facts = subject.contribution.files.get(path)
        is_declared = path == weights and subject.spec.checkpoint is not None
        if facts is None or facts.size_bytes <= _LARGE_BYTES or is_declared:
            continue
        yield subject.in_file(
            Code.LARGE_FILE,
            f"the file has {facts.size_bytes / 2**20:.0f} MiB, and git keeps it for "
            "ever",
            path=path,
            fix=f"declare it below checkpoint: with `ms lock {subject.spec.name}`"
            if path == weights
            else "let the author's functions fetch it, or make it smaller",
        )


def loadable(subject: Subject) -> Iterator[Finding]:
    """The handler can load the checkpoint, and without running code of it."""
    path = subject.spec.build.checkpoint_file
    known = subject.contribution.files.get(path or "")
    if path is None or known is None or known.leaves_model or not known.is_readable:
        return
    wants_script = _wants_torchscript(subject)
    if not wants_script and _is_read_by_author(subject.syntax):
        return
    facts = subject.checkpoint(path)
    if facts is None or _is_of_others(facts, path):
        return
    if facts.unsafe_globals:
        yield subject.in_file(
            Code.UNSAFE_CHECKPOINT,
            f"the checkpoint's pickle names {_some(facts.unsafe_globals)}, which can"
            " run code when it is loaded",
            path=path,
            fix=f"save a state_dict: {_SAVE}, or safetensors",
        )
        return
    problem, fix = _problem(facts, wants_script=wants_script)
    if problem:
        yield subject.in_file(Code.UNREADABLE_CHECKPOINT, problem, path=path, fix=fix)


def _wants_torchscript(subject: Subject) -> bool:
    config = subject.contribution.config
    options = (config.data.get("handler") if config is not None else None) or {}
    return bool(options.get("checkpoint_format") == TORCHSCRIPT)


def _problem(facts: CheckpointFacts, *, wants_script: bool) -> tuple[str, str]:
    is_script = facts.format == TORCHSCRIPT
    if facts.problem is not None:
        return f"the checkpoint cannot be loaded: {facts.problem}", f"save it: {_SAVE}"
    if is_script and not wants_script:
        problem = "the checkpoint is a TorchScript archive, expected a state_dict"
        fix = "say `checkpoint_format: torchscript` below handler: in the model config"
        return problem, f"{fix}, or save a state_dict"
    if wants_script and not is_script:
        problem = f"the checkpoint is a file of {facts.format}, expected TorchScript"
        fix = "save it with torch.jit.save, or remove handler.checkpoint_format"
        return problem, fix
    return "", ""


def _is_of_others(facts: CheckpointFacts, path: str) -> bool:
    """Whether it was never meant for torch: ONNX, say."""
    return facts.format in (OTHER, PICKLE) and not path.endswith(_TORCH_ENDINGS)


def _is_read_by_author(syntax: ast.Module | Exception) -> bool:
    """Whether init_function takes the checkpoint's path, or may, so that it reads it.

    What the handler does not read it does not judge.
    """
    if isinstance(syntax, Exception):
        return True
    given = [_init_function(node) for node in ast.walk(syntax) if calls_factory(node)]
    functions = {
        node.name: node for node in syntax.body if isinstance(node, ast.FunctionDef)
    }
    return not given or any(_may_take_path(one, functions) for one in given)


def _init_function(call: ast.Call) -> ast.expr | None:
    named = [one.value for one in call.keywords if one.arg == "init_function"]
    return next(iter([*call.args[:1], *named]), None)


def _may_take_path(
    given: ast.expr | None, functions: dict[str, ast.FunctionDef]
) -> bool:
    if isinstance(given, ast.Constant):
        return False
    function = functions.get(given.id) if isinstance(given, ast.Name) else given
    if not isinstance(function, ast.FunctionDef | ast.Lambda):
        return True
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return any(one.arg == "checkpoint_path" for one in every)


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
