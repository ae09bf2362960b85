"""Loading: from TorchServe's first call to a ready model, or the reason why not."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from model_servers_handler.answering import Handler
from model_servers_handler.checkpoints import (
    initialisers_asleep,
    read_torchscript,
    restore_weights,
)
from model_servers_handler.devices import Device, set_up_torch, take_device
from model_servers_handler.errors import LoadError, blamed
from model_servers_handler.files import (
    Archive,
    handler_digest,
    unpack_extra_files,
    write_atomically,
)
from model_servers_handler.functions import (
    ModelFunctions,
    import_functions,
    run_install_functions,
)
from model_servers_handler.options import Options
from model_servers_handler.tensors import is_module, is_module_class
from model_servers_handler.wire import read_ahead

logger = logging.getLogger("model_servers.handler")

RELEASE = "MAR-INF/release.json"
"""In the model's directory, where `ms sync` has put one."""

LOAD_ERROR = "load-error.txt"
"""In the model's directory: why it could not be loaded, until it could."""


def serve(
    data: list[Any] | None, context: Any, functions: ModelFunctions | None
) -> list[bytes] | None:
    """Load the model when *data* is None, otherwise have it answer the batch.

    Args:
        data: one dict of fields for each request.
        context: TorchServe's; the loaded model is kept on it.
        functions: the model's; None imports the file that the manifest names.
    """
    if data is not None:
        handler: Handler = context.model_servers_handler
        return handler.answer(data, context)
    directory = Path(context.system_properties["model_dir"])
    try:
        with blamed("the model cannot be loaded"):
            context.model_servers_handler = load(context, functions)
    except (LoadError, MemoryError) as error:
        report_load_error(directory, str(error) or "out of memory")
        raise
    report_load_error(directory, None)
    return None


def report_load_error(directory: Path, reason: str | None) -> None:
    """Leave the reason where whoever registered the model can read it.

    TorchServe's API does not tell it of a model that is registered asynchronously.
    """
    with contextlib.suppress(OSError):  # a read-only directory has no reader
        if reason is None:
            (directory / LOAD_ERROR).unlink(missing_ok=True)
        else:
            write_atomically(directory / LOAD_ERROR, reason)


def load(context: Any, functions: ModelFunctions | None = None) -> Handler:
    """Make the model ready to answer; what fails early is tried first."""
    started = time.perf_counter()
    archive = Archive.of(context)
    options = Options.parse(archive.config)
    device = take_device(context.system_properties.get("gpu_id"), options)
    # TorchServe decodes JSON itself unless told otherwise, eight times slower and
    # without a way to answer 400; it reads this before each parameter.
    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
    if options.read_ahead:
        read_ahead()
    # Where TorchServe starts its workers; authors open files and run wget there.
    os.chdir(archive.directory)
    unpack_extra_files(archive.directory, options.extra_files)
    functions = functions or import_functions(archive)
    run_install_functions(archive, functions, options)
    set_up_torch(options)
    model = make_model(archive, functions, options, device)
    handler = Handler(functions, options, device, model)
    handler.warm_up(int(context.system_properties.get("batch_size") or 1))
    handler.facts = facts_of(archive, time.perf_counter() - started)
    logger.info("model ready: %s", json.dumps(handler.describe(), default=str))
    return handler


def make_model(
    archive: Archive, functions: ModelFunctions, options: Options, device: Device
) -> Any:
    """Make the model with its weights, on its device, ready to be called."""
    checkpoint = archive.member("serializedFile")
    if options.checkpoint_format == "torchscript":
        model = read_torchscript(checkpoint)
    else:
        model = _initialised(functions, options, checkpoint)
    if is_module_class(model):
        raise LoadError(
            f"init_function returned the class {model.__name__}; return"
            f" {model.__name__}(...), a model of it"
        )
    if not callable(model):
        raise LoadError(
            f"init_function returned {type(model).__name__}; return a torch.nn.Module"
            " or a function that takes a batch"
        )
    return place(model, options, device) if is_module(model) else model


def _initialised(
    functions: ModelFunctions, options: Options, checkpoint: Path | None
) -> Any:
    init_function = functions.bound("init_function", options)
    if init_function is None:
        raise LoadError("init_function is None; only a TorchScript model needs none")
    if "checkpoint_path" in inspect.signature(init_function).parameters:
        with blamed("init_function failed"):
            return init_function(checkpoint_path=checkpoint and str(checkpoint))
    if checkpoint is None:
        with blamed("init_function failed"):
            return init_function()
    with blamed("init_function failed"), initialisers_asleep():
        model = init_function()
    if is_module(model):
        restore_weights(model, checkpoint)
    else:
        logger.warning(
            "%s is not used: init_function made no torch.nn.Module and has no parameter"
            " checkpoint_path",
            checkpoint.name,
        )
    return model


def place(model: Any, options: Options, device: Device) -> Any:
    """Move a module to its device and make it ready for inference."""
    import torch

    layout = {"memory_format": torch.channels_last} if options.channels_last else {}
    with blamed(f"the model cannot be moved to {device.name}"):
        return model.eval().to(device.name, **layout)


def facts_of(archive: Archive, load_s: float) -> dict[str, Any]:
    """Collect what does not change about a loaded model, for `describe`."""
    model = archive.manifest.get("model", {})
    return {
        "name": model.get("modelName"),
        "version": model.get("modelVersion"),
        **archive.manifest.get("modelServers", {}),
        **release_facts(archive.directory / RELEASE),
        "runningHandlerDigest": handler_digest(),
        "loadSeconds": round(load_s, 3),
    }


def release_facts(document: Path) -> dict[str, Any]:
    """Tell the release that a host installed; an archive cannot hold these facts."""
    try:
        release = json.loads(document.read_text("utf-8"))
        return {
            "archiveDigest": release["archive"]["sha256"],
            "gitCommit": release["git_commit"],
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}  # a plain archive, or nothing of ours
