"""What model-config.yaml says to the handler: its options and their checks; pure."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_servers_handler.errors import LoadError


def option(default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
    """Declare an option: its default, which values it can have, and that in words."""
    return field(default=default, metadata={"fits": fits, "expected": expected})


def one_of(*values: str) -> Any:
    """Declare an option with these values."""
    return option(None, lambda value: value in values, " or ".join(values))


def flag(*, default: bool = False) -> Any:
    """Declare an option that is on or off."""
    return option(default, lambda value: isinstance(value, bool), "true or false")


def count(default: int | None) -> Any:
    """Declare an option that is a number of things."""
    return option(
        default, lambda v: type(v) is int and v >= 1, "a whole number above 0"
    )


def arguments() -> Any:
    """Declare an option that holds keyword arguments of a function."""
    return option(None, is_arguments, "a mapping of arguments by name")


def is_arguments(value: Any) -> bool:
    """Whether it can be passed by `**`."""
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def is_names(value: Any) -> bool:
    """Whether it is a list of text."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def is_warmup(value: Any) -> bool:
    """Whether it is a request as golden cases have it."""
    bodies = {"json", "text", "file"}
    keys = set(value) if isinstance(value, Mapping) else set()
    return len(bodies & keys) == 1 and keys <= {"content_type", *bodies}


@dataclass(frozen=True, kw_only=True)
class HandlerOptions:
    """The section `handler:` of model-config.yaml."""

    init_kwargs: Mapping[str, Any] | None = arguments()
    preprocess_kwargs: Mapping[str, Any] | None = arguments()
    postprocess_kwargs: Mapping[str, Any] | None = arguments()
    collate_kwargs: Mapping[str, Any] | None = arguments()
    install_packages_kwargs: Mapping[str, Any] | None = arguments()
    unpack_dependencies_kwargs: Mapping[str, Any] | None = arguments()
    autocast: str | None = one_of("bfloat16", "float16")
    channels_last: bool = flag()
    checkpoint_format: str | None = one_of("state_dict", "torchscript")
    compile: bool | Mapping[str, Any] = option(
        default=False,
        fits=lambda value: isinstance(value, bool) or is_arguments(value),
        expected="true, false or a mapping of torch.compile's arguments",
    )
    matmul_precision: str | None = one_of("highest", "high", "medium")
    max_response_bytes: int = count(6_553_500)
    """TorchServe's own default of `max_response_size`."""

    preprocess_threads: int = count(1)
    raw_content_types: Sequence[str] = option((), is_names, "a list such as [image/*]")
    read_ahead: bool = flag(default=True)
    stage_metrics: bool = flag()
    torch_threads: int | None = count(None)
    warmup: Mapping[str, Any] | None = option(
        None, is_warmup, "a mapping of content_type and one of json, text, file"
    )


@dataclass(frozen=True, kw_only=True)
class SystemOptions:
    """The section `system:` of model-config.yaml."""

    extraFiles: str | Sequence[str] = option(  # noqa: N815 - the guide's name
        (), lambda v: isinstance(v, str) or is_names(v), "an archive's name, or a list"
    )
    maxGPUMemory: float | None = option(  # noqa: N815 - the guide's name
        None, lambda v: type(v) in (int, float) and v > 0, "a number of MB above 0"
    )


@dataclass(frozen=True, kw_only=True)
class Options(HandlerOptions):
    """What model-config.yaml says to the handler."""

    extra_files: tuple[str, ...] = ()
    max_gpu_memory_mib: float | None = None
    """What the model's tensors may take on a GPU, in 2^20 bytes."""

    device_type: str = ""

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Options:
        """Read model-config.yaml as TorchServe parsed it.

        Raises:
            LoadError: a key of ours is unknown or has a value that it cannot have.
        """
        handler = checked(config.get("handler"), "handler", HandlerOptions)
        system = SystemOptions(**checked(config.get("system"), "system", SystemOptions))
        names = system.extraFiles
        names = names.split(",") if isinstance(names, str) else names
        return cls(
            **handler,
            extra_files=tuple(name.strip() for name in names if name.strip()),
            max_gpu_memory_mib=system.maxGPUMemory,
            device_type=str(config.get("deviceType") or "").lower(),
        )

    def kwargs(self, name: str) -> Mapping[str, Any]:
        """Give the keyword arguments of one of the author's functions."""
        return getattr(self, f"{name.removesuffix('_function')}_kwargs") or {}


def checked(section: Any, name: str, kind: type) -> dict[str, Any]:
    """Give a section's values, each known and fit; null counts as absent."""
    if not isinstance(section, (Mapping, type(None))):
        raise LoadError(f"model-config.yaml: {name} must be a mapping of options")
    known = {each.name: each.metadata for each in dataclasses.fields(kind)}
    given = {k: v for k, v in (section or {}).items() if v is not None}
    for key, value in given.items():
        if key not in known:
            hint = nearest(str(key), known)
            raise LoadError(f"model-config.yaml: {name} has no option {key!r}; {hint}")
        if not known[key]["fits"](value):
            expected = known[key]["expected"]
            raise LoadError(
                f"model-config.yaml: {name}.{key} is {value!r}; expected {expected}"
            )
    return given


def nearest(key: str, known: Iterable[str]) -> str:
    """Suggest what was meant, or list what there is."""
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(key.lower(), names, n=1)
    if close:
        return f"did you mean {names[close[0]]}?"
    return f"the options are {', '.join(names.values())}"
