"""Checkpoints: reading weights and giving them to a model, or saying why not."""

from __future__ import annotations

import contextlib
import difflib
import mmap
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model_servers_handler.errors import LoadError, blamed, one_line
from model_servers_handler.formats import safetensors_views
from model_servers_handler.tensors import is_tensor

RANDOM_INITIALISERS = (
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
)


@contextlib.contextmanager
def initialisers_asleep() -> Iterator[None]:
    """Skip the random initialisation of weights that a checkpoint will replace.

    As fast as torch's meta device, without leaving anything on it.
    """
    try:
        from torch.nn import init
    except ImportError:
        yield
        return
    awake = {name: getattr(init, name) for name in RANDOM_INITIALISERS}
    for name in awake:
        setattr(init, name, _leave)
    try:
        yield
    finally:
        for name, function in awake.items():
            setattr(init, name, function)


def _leave(tensor: Any, *_args: Any, **_kwargs: Any) -> Any:
    return tensor


def restore_weights(model: Any, checkpoint: Path) -> None:
    """Give the model the checkpoint's weights, mapped from the file where possible.

    The model keeps its dtypes, and weights that were one tensor are one again.

    Raises:
        LoadError: the file is no state_dict, or not this model's.
    """
    state = read_state(checkpoint)
    ties = tied_names(model)
    expected = model.state_dict()
    weights = with_ties(state, ties)
    wrong = differences(expected, weights)
    if not any(line.startswith("dtype") for line in wrong):
        fitted = OrderedDict(weights)
        for name in expected.keys() & weights.keys():
            if is_tensor(expected[name]) and is_tensor(weights[name]):
                fitted[name] = weights[name].to(expected[name].dtype)
        if hasattr(state, "_metadata"):  # the versions of the modules it came from
            fitted._metadata = state._metadata  # type: ignore[attr-defined]  # torch's
        try:
            model.load_state_dict(fitted, strict=True, assign=True)
        except RuntimeError as error:
            wrong = wrong or [one_line(error)]
        else:
            wrong = []
    if wrong:
        raise LoadError(mismatch(checkpoint.name, wrong, expected, state))
    tie(model, ties)


def read_state(checkpoint: Path) -> Mapping[str, Any]:
    """Read a state_dict from a .pt, .pth or .safetensors file."""
    with checkpoint.open("rb") as file:
        start = file.read(9)
    if start[8:9] == b"{" and not start.startswith(b"PK"):
        with blamed(f"{checkpoint.name} is no safetensors file"):
            return map_safetensors(checkpoint)
    state = _read_torch_file(checkpoint, is_zip=start.startswith(b"PK"))
    if not isinstance(state, Mapping):
        raise LoadError(
            f"{checkpoint.name} holds {type(state).__name__}, not a state_dict;"
            " save it with torch.save(model.state_dict(), path)"
        )
    return state


def _read_torch_file(checkpoint: Path, *, is_zip: bool) -> Any:
    import torch

    if is_zip and is_torchscript(checkpoint):
        raise LoadError(
            f"{checkpoint.name} is a TorchScript archive; say so in model-config.yaml"
            " (handler: checkpoint_format: torchscript) or save a state_dict"
        )
    try:
        # Files of torch before 1.6 are no zip archives and cannot be mapped.
        return torch.load(
            checkpoint, map_location="cpu", weights_only=True, mmap=is_zip
        )
    except pickle.UnpicklingError as error:
        raise LoadError(
            f"{checkpoint.name} holds more than tensors, which could run code when"
            " read; save it with torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:
        raise LoadError(
            f"{checkpoint.name} cannot be read as a checkpoint: {one_line(error)}"
        ) from error


def is_torchscript(checkpoint: Path) -> bool:
    """Whether torch.jit.save wrote this zip file."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def read_torchscript(checkpoint: Path | None) -> Any:
    """Load a TorchScript archive."""
    import torch

    if checkpoint is None:
        raise LoadError("checkpoint_format is torchscript, and there is no checkpoint")
    with blamed(f"{checkpoint.name} is no TorchScript archive"):
        load: Callable[..., Any] = torch.jit.load
        return load(str(checkpoint), map_location="cpu")


def map_safetensors(path: Path) -> dict[str, Any]:
    """Map a safetensors file; workers of one model share its pages."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return safetensors_views(mapped)


def tied_names(model: Any) -> list[list[str]]:
    """List the names that share one parameter or buffer, those with two at least."""
    names: dict[int, list[str]] = {}
    for named in (model.named_parameters, model.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def with_ties(state: Mapping[str, Any], ties: list[list[str]]) -> dict[str, Any]:
    """Add the tied names that a file left out, as safetensors' writers do."""
    filled = dict(state)
    for group in ties:
        present = [name for name in group if name in state]
        for name in group if present else ():
            filled.setdefault(name, state[present[0]])
    return filled


def tie(model: Any, ties: list[list[str]]) -> None:
    """Make the names of each group one tensor again."""
    for first, *others in ties:
        owner, _, name = first.rpartition(".")
        tensor = getattr(model.get_submodule(owner), name)
        for other in others:
            owner, _, name = other.rpartition(".")
            setattr(model.get_submodule(owner), name, tensor)


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """List how a checkpoint differs from the model, one line for each difference.

    Floating-point dtypes do not differ: they are converted to the model's.
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    lines = [f"missing {name}{_nearest_name(name, unexpected)}" for name in missing]
    lines += [f"unexpected {name}{_nearest_name(name, missing)}" for name in unexpected]
    for name in expected:
        if name in found and is_tensor(expected[name]):
            lines += _tensor_differences(name, expected[name], found[name])
    return lines


def _nearest_name(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names[:1000], n=1)
    return f" (nearest: {close[0]})" if close else ""


def _tensor_differences(name: str, expected: Any, found: Any) -> Iterator[str]:
    if not is_tensor(found):
        yield f"dtype of {name}: expected a tensor, found {type(found).__name__}"
        return
    if expected.shape != found.shape:
        shapes = list(expected.shape), list(found.shape)
        yield f"shape of {name}: expected {shapes[0]}, found {shapes[1]}"
    both_float = expected.is_floating_point() and found.is_floating_point()
    if expected.dtype != found.dtype and not both_float:
        dtypes = [str(t.dtype).removeprefix("torch.") for t in (expected, found)]
        yield f"dtype of {name}: expected {dtypes[0]}, found {dtypes[1]}"


def mismatch(
    file: str, wrong: list[str], expected: Mapping[str, Any], found: Mapping[str, Any]
) -> str:
    """Write one line about everything that is wrong with a checkpoint."""
    more = f"; and {len(wrong) - 200} more" if len(wrong) > 200 else ""
    text = f"{file} does not fit the model: {'; '.join(wrong[:200])}{more}"
    nested = [key for key, value in found.items() if isinstance(value, Mapping)]
    if nested and not set(expected) & set(found):
        return (
            f"{text}; it is a dict with {', '.join(nested)}, save only the state_dict"
        )
    prefix = next(iter(found), "").partition(".")[0] + "."
    bare = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
    if len(bare) == len(found) and set(bare) <= set(expected):
        return f"{text}; save it without the prefix {prefix!r} of every name"
    return text
