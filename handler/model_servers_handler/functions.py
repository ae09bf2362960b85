"""The author's functions: what `handler_factory` keeps, imported and installed."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import logging
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_servers_handler.errors import LoadError, blamed, one_line
from model_servers_handler.files import (
    Archive,
    locked,
    sha256_of,
    state_directory,
    write_atomically,
)
from model_servers_handler.options import Options

logger = logging.getLogger("model_servers.handler")

SAMPLE_FUNCTIONS = ("preprocess_function", "postprocess_function", "collate_function")


@dataclass(frozen=True)
class ModelFunctions:
    """What an author gave to `handler_factory`."""

    given: Mapping[str, tuple[Callable[..., Any] | None, Mapping[str, Any] | None]]
    """Functions and keyword arguments by the function's name."""

    example_input: Any

    def bound(self, name: str, options: Options) -> Callable[..., Any] | None:
        """Give a function with its keyword arguments filled in, None if there is none.

        Raises:
            LoadError: it takes no sample, or not these arguments.
        """
        function, kwargs = self.given[name]
        if function is None:
            return None
        full = {**options.kwargs(name), **(kwargs or {})}
        sample = [None] if name in SAMPLE_FUNCTIONS else []
        with contextlib.suppress(ValueError):  # some built-in ones have no signature
            signature = inspect.signature(function)
            # The rest of init_function's arguments is looked at when it is called.
            is_init = name == "init_function"
            bind = signature.bind_partial if is_init else signature.bind
            source = "; it gets what handler_factory does not know" if is_init else ""
            try:
                bind(*sample, **full)
            except TypeError as error:
                raise LoadError(f"{name} cannot be called: {error}{source}") from error
        return functools.partial(function, **full)


def import_functions(archive: Archive) -> ModelFunctions:
    """Import the author's file and find what `handler_factory` made in it."""
    path = archive.member("modelFile")
    if path is None:
        raise LoadError("the manifest has no modelFile; pack the model with `ms build`")
    if str(archive.directory) not in sys.path:
        sys.path.insert(0, str(archive.directory))
    importlib.invalidate_caches()
    names = vars(_import_file(path))
    made = {k: v for k, v in names.items() if isinstance(v, ModelFunctions)}
    if not made:
        raise LoadError(
            f"{path.name} makes no handler; end it with handler = handler_factory(...)"
        )
    if len({id(value) for value in made.values()}) > 1 and "handler" not in made:
        raise LoadError(
            f"{path.name} makes several handlers ({', '.join(sorted(made))});"
            " name the one to serve `handler`"
        )
    return made.get("handler") or next(iter(made.values()))


def _import_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path.name} is no Python file; give it a name ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise LoadError(
            f"{path.name} cannot be imported: {one_line(error)}; add what is missing to"
            " requirements.txt or system.extraFiles, or, if install_packages installs"
            " it, import it inside init_function"
        ) from error
    except Exception as error:
        raise LoadError(f"{path.name} cannot be imported: {one_line(error)}") from error
    return module


def run_install_functions(
    archive: Archive, functions: ModelFunctions, options: Options
) -> None:
    """Run `install_packages`, then `unpack_dependencies`, once per host and version.

    What they print goes to the worker's output, which TorchServe logs. One that was
    interrupted runs again.
    """
    names = ("install_packages", "unpack_dependencies")
    steps = {name: functions.bound(name, options) for name in names}
    if not any(steps.values()):
        return
    state = state_directory(archive.directory)
    source = archive.member("modelFile")
    version = sha256_of(source) if source else ""
    # A container that starts anew has another host name, and nothing installed.
    done = f"{version} {socket.gethostname()} {sys.prefix}"
    with locked(state / "lock"):
        for name, step in steps.items():
            marker = state / f"{name}.done"
            if step is None or (marker.is_file() and marker.read_text() == done):
                continue
            logger.info("running %s", name)
            with blamed(f"{name} failed"):
                step()
            sys.stdout.flush()
            write_atomically(marker, done)
            logger.info("%s is done", name)
    importlib.invalidate_caches()
