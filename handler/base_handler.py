"""The TorchServe handler that every model of model-servers runs in.

Authors call `handler_factory` with plain functions that see one sample each.
TorchServe calls `handle`, which loads the model and then answers batches in which
one bad request never spoils its neighbours. The file reads top-down: the entries,
loading, answering, then the parts of both: requests, batches, answers and options,
which are pure, and checkpoints, devices and files, which are not.

Only the standard library is imported here, and torch inside functions: TorchServe
takes an ImportError in this file to mean that its own `base_handler` was asked for
(ts/model_loader.py:107, release 0.12).
"""

# ruff: noqa: PLC0415 - imports inside functions, for the reason above

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import fnmatch
import functools
import hashlib
import importlib
import importlib.util
import inspect
import io
import itertools
import json
import logging
import math
import mmap
import os
import pickle
import shutil
import socket
import stat
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any

LOAD_ERROR = "load-error.txt"
"""In the model's directory: why it could not be loaded, until it could."""

logger = logging.getLogger("model_servers.handler")

# ------------------------------------------------------------ what authors use


class RequestError(Exception):
    """Answers one request with an HTTP status; for an author's function to raise."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def handler_factory(  # noqa: PLR0913 - the first five names are the guide's
    init_function: Callable[..., Any],
    preprocess_function: Callable[..., Any] | None = None,
    postprocess_function: Callable[..., Any] | None = None,
    install_packages: Callable[..., Any] | None = None,
    unpack_dependencies: Callable[..., Any] | None = None,
    *,
    collate_function: Callable[..., Any] | None = None,
    example_input: Any = None,
    preprocess_kwargs: Mapping[str, Any] | None = None,
    postprocess_kwargs: Mapping[str, Any] | None = None,
    collate_kwargs: Mapping[str, Any] | None = None,
    install_packages_kwargs: Mapping[str, Any] | None = None,
    unpack_dependencies_kwargs: Mapping[str, Any] | None = None,
    **init_kwargs: Any,
) -> ModelFunctions:
    """Describe a model by its author's functions.

    Args:
        init_function: makes the model: a `torch.nn.Module` without weights, or any
            callable that takes a batch. If it has a parameter `checkpoint_path`,
            it gets the checkpoint's path and the handler loads nothing itself.
        preprocess_function: turns one request's data into one sample.
        postprocess_function: turns the model's output for one sample, which has no
            batch axis, into an answer.
        install_packages: runs once per host before the model is made. What it
            installs can be imported inside the functions, not at the top of the
            author's file, which is read before.
        unpack_dependencies: runs after `install_packages`, likewise.
        collate_function: turns a list of samples into the model's batch. Without
            it, samples of one shape and dtype are stacked.
        example_input: one request's data; the worker is ready once it is answered.
        preprocess_kwargs: more arguments of `preprocess_function`, over those in
            model-config.yaml (`handler:`). The next four are the same for others.
        postprocess_kwargs: for `postprocess_function`.
        collate_kwargs: for `collate_function`.
        install_packages_kwargs: for `install_packages`.
        unpack_dependencies_kwargs: for `unpack_dependencies`.
        **init_kwargs: for `init_function`.
    """
    given = {
        "init_function": (init_function, init_kwargs),
        "preprocess_function": (preprocess_function, preprocess_kwargs),
        "postprocess_function": (postprocess_function, postprocess_kwargs),
        "collate_function": (collate_function, collate_kwargs),
        "install_packages": (install_packages, install_packages_kwargs),
        "unpack_dependencies": (unpack_dependencies, unpack_dependencies_kwargs),
    }
    for name, (function, _) in given.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} is a function, found {type(function).__name__}")
    return ModelFunctions(given, example_input)


@dataclass(frozen=True)
class ModelFunctions:
    """What an author gave to `handler_factory`; also works as TorchServe's entry."""

    given: Mapping[str, tuple[Callable[..., Any] | None, Mapping[str, Any] | None]]
    """Functions and keyword arguments by the function's name."""

    example_input: Any

    def __call__(self, data: list[Any] | None, context: Any) -> list[bytes] | None:
        """Do what `handle` does, with these functions."""
        return _serve(data, context, self)

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
            bind = signature.bind_partial if name == "init_function" else signature.bind
            try:
                bind(*sample, **full)
            except TypeError as error:
                raise LoadError(f"{name} cannot be called: {error}") from error
        return functools.partial(function, **full)


SAMPLE_FUNCTIONS = ("preprocess_function", "postprocess_function", "collate_function")


# ------------------------------------------------------- what TorchServe calls


def handle(data: list[Any] | None, context: Any) -> list[bytes] | None:
    """Load the model when *data* is None, otherwise answer the batch.

    Args:
        data: one dict of fields for each of the `B` requests.
        context: TorchServe's; the loaded model is kept on it between calls.

    Returns:
        `B` bodies, in the order of the requests.

    Raises:
        RuntimeError: the model cannot be loaded; the message is one line. TorchServe
            answers it with 500, or 507 if it has "CUDA" in it; any other exception
            would end the process without a word to the client.
    """
    return _serve(data, context, None)


def _serve(
    data: list[Any] | None, context: Any, functions: ModelFunctions | None
) -> list[bytes] | None:
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


class LoadError(RuntimeError):
    """Why a model cannot be loaded, in one line for its author."""


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `LoadError` that starts with *what*."""
    try:
        yield
    except (LoadError, MemoryError):
        raise
    except Exception as error:
        raise LoadError(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Give an exception's class and message without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


# --------------------------------------------------------------------- loading


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


def load(context: Any, functions: ModelFunctions | None = None) -> Handler:
    """Make the model ready to answer; what fails early is tried first."""
    started = time.perf_counter()
    archive = Archive.of(context)
    options = Options.parse(archive.config)
    device = take_device(context.system_properties.get("gpu_id"), options)
    # TorchServe decodes JSON itself unless told otherwise, eight times slower and
    # without a way to answer 400; it reads this before each parameter.
    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
    # Where TorchServe starts its workers; authors open files and run wget there.
    os.chdir(archive.directory)
    unpack_extra_files(archive.directory, options.extra_files)
    functions = functions or import_functions(archive)
    run_install_functions(archive, functions, options)
    set_up_torch(options)
    model = make_model(archive, functions, options, device)
    handler = Handler(functions, options, device, model)
    handler.warm_up(int(context.system_properties.get("batch_size") or 1))
    handler.facts = facts_of(archive.manifest, time.perf_counter() - started)
    logger.info("model ready: %s", json.dumps(handler.describe(), default=str))
    return handler


def set_up_torch(options: Options) -> None:
    """Set the process-wide switches of torch that were asked for."""
    if options.torch_threads:
        import torch

        torch.set_num_threads(options.torch_threads)
    if options.matmul_precision:
        import torch

        torch.set_float32_matmul_precision(options.matmul_precision)


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


def make_model(
    archive: Archive, functions: ModelFunctions, options: Options, device: Device
) -> Any:
    """Make the model with its weights, on its device, ready to be called."""
    checkpoint = archive.member("serializedFile")
    if options.checkpoint_format == "torchscript":
        model = read_torchscript(checkpoint)
    else:
        model = _initialised(functions, options, checkpoint)
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


def facts_of(manifest: Mapping[str, Any], load_s: float) -> dict[str, Any]:
    """Collect what does not change about a loaded model, for `describe`."""
    model = manifest.get("model", {})
    return {
        "name": model.get("modelName"),
        "version": model.get("modelVersion"),
        **manifest.get("modelServers", {}),
        "runningHandlerDigest": sha256_of(Path(__file__)),
        "loadSeconds": round(load_s, 3),
    }


# ------------------------------------------------------------------- answering


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one request has no result: its HTTP status and what its client is told."""

    status: int
    kind: str
    message: str


DEVICE_LOST = Failure(507, "DeviceLost", "the GPU failed; the worker is restarting")


@dataclass
class Handler:
    """A loaded model that answers batches; the one object here that keeps state."""

    functions: ModelFunctions
    options: Options
    device: Device
    model: Any
    facts: dict[str, Any] = field(default_factory=dict)

    safe_batch: int | None = None
    """The largest batch to try, once a larger one ran out of memory."""

    lost: bool = False
    """The device can do no more work in this process."""

    answered: set[Any] = field(default_factory=set)
    """Kinds of samples that the model has had outputs for; the first 256."""

    pinned: dict[Any, Any] = field(default_factory=dict)
    """Page-locked buffers by what is stacked in them."""

    def __post_init__(self) -> None:
        self.preprocess = self.functions.bound("preprocess_function", self.options)
        self.postprocess = self.functions.bound("postprocess_function", self.options)
        self.collate = self.functions.bound("collate_function", self.options)
        self.is_module = is_module(self.model)
        self.takes_several = self.is_module and takes_several(self.model.forward)
        self.dtype = floating_dtype(self.model) if self.is_module else None
        if self.is_module and self.options.compile:
            self.model = compiled(self.model, self.options.compile)
        threads = self.options.preprocess_threads
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def answer(self, data: Sequence[Any], context: Any) -> list[bytes]:
        """Answer each of the `B` requests on its own; never raises for one of them.

        Returns:
            `B` bodies; status and content type of each are set on *context*.
        """
        headers = [context.get_all_request_header(i) for i in range(len(data))]
        if len(data) == 1 and not data[0] and header(headers[0], "describe") == "True":
            return [send(encode(self.describe(), accept=""), context, 0)]
        times = [time.perf_counter()]
        with inference_mode():
            samples = self._samples(data, headers)
            times.append(time.perf_counter())
            outputs = self._outputs(samples)
            times.append(time.perf_counter())
            accepts = [header(each, "accept").lower() for each in headers]
            answers = list(map(self._answer, outputs, accepts))
        bodies = [send(answer, context, i) for i, answer in enumerate(answers)]
        times.append(time.perf_counter())
        report_times(context, times, stages=self.options.stage_metrics)
        if self.lost:
            end_process_soon()
        return bodies

    def warm_up(self, batch_size: int) -> None:
        """Answer the example alone and in a full batch, so that ready means warm."""
        if self.options.warmup is not None:
            example = decoded_warmup(
                self.options.warmup, self.options.raw_content_types
            )
        elif self.functions.example_input is not None:
            example = self.functions.example_input
        else:
            logger.info("no warm-up: there is no example_input and no handler.warmup")
            return
        for size in sorted({1, batch_size}):
            with inference_mode():
                samples = [self._tried(self._sample_of, example) for _ in range(size)]
                answers = [self._answer(out, "") for out in self._outputs(samples)]
            for answer in answers:
                if isinstance(answer, Failure):
                    reason = " ".join(f"{answer.kind}: {answer.message}".split())
                    raise LoadError(
                        f"the warm-up in a batch of {size} failed: {reason}"
                    )

    def describe(self) -> dict[str, Any]:
        """Tell which model this is, where it runs and what memory it takes."""
        return {**self.facts, **self.device.report(), "safeBatch": self.safe_batch}

    # One request at a time.

    def _samples(
        self, data: Sequence[Any], headers: Sequence[Mapping[str, Any]]
    ) -> list[Any]:
        each = map if self.pool is None or len(data) == 1 else self.pool.map
        return list(each(functools.partial(self._tried, self._sample), data, headers))

    def _sample(self, fields: Any, headers: Mapping[str, Any]) -> Any:
        return self._sample_of(decode(fields, headers, self.options.raw_content_types))

    def _sample_of(self, value: Any) -> Any:
        sample = value if self.preprocess is None else self.preprocess(value)
        if self.is_module and self.collate is None:
            return to_tensors(sample, self.dtype)
        return sample

    def _answer(self, output: Any, accept: str) -> Answer | Failure:
        if isinstance(output, Failure):
            return output
        answer: Answer | Failure = self._tried(
            self._encoded, output, accept, in_request=False
        )
        return answer

    def _encoded(self, output: Any, accept: str) -> Answer | Failure:
        value = output if self.postprocess is None else self.postprocess(output)
        answer = encode(value, accept)
        found, most = len(answer.body), self.options.max_response_bytes
        if found > most:  # TorchServe would end the worker, and with it the batch
            message = f"the answer is {found} bytes long, more than {most}"
            return Failure(500, "ResponseTooLarge", message)
        return answer

    def _tried(
        self, step: Callable[..., Any], *args: Any, in_request: bool = True
    ) -> Any:
        try:
            return step(*args)
        except Exception as error:  # noqa: BLE001 - an author's code may raise anything
            trouble = trouble_of(error)
            failure = failure_of(error, in_request=in_request)
        self.lost = self.lost or self.device.is_lost_after(trouble)
        return failure

    # The batch.

    def _outputs(self, samples: Sequence[Any]) -> list[Any]:
        """Give each sample its output; a failure among them stays where it is."""
        outputs = list(samples)
        groups = self._groups(samples)
        for kind, indices in groups.items():
            results = self._run([samples[index] for index in indices])
            if len(self.answered) < 256 and not all(map(is_failure, results)):
                self.answered.add(kind)
            for index, result in zip(indices, results, strict=True):
                outputs[index] = result
        for kind, indices in groups.items():
            for index in indices:
                outputs[index] = judged(outputs[index], kind, self.answered)
        return outputs

    def _groups(self, samples: Sequence[Any]) -> dict[Any, list[int]]:
        groups: dict[Any, list[int]] = {}
        for index, sample in enumerate(samples):
            if not is_failure(sample):
                kind = kind_of(sample) if self.collate is None else None
                groups.setdefault(kind, []).append(index)
        return groups

    def _run(self, samples: list[Any]) -> list[Any]:
        """Run samples of one kind, in smaller batches if a larger one fails."""
        if self.lost:
            return [DEVICE_LOST] * len(samples)
        size = self.safe_batch or len(samples)
        if len(samples) > size:
            starts = range(0, len(samples), size)
            return [out for i in starts for out in self._run(samples[i : i + size])]
        try:
            return self._forward(samples)
        except Exception as error:  # noqa: BLE001 - an author's model may raise anything
            trouble = trouble_of(error)
            alone = len(samples) == 1
            failure = failure_of(error, in_request=False, traceback=alone)
        # Here the error is gone, and with its frames the memory that they held.
        return self._run_again(samples, trouble, failure)

    def _run_again(
        self, samples: list[Any], trouble: str | None, failure: Failure
    ) -> list[Any]:
        if self.device.is_lost_after(trouble):
            self.lost = True
            return [DEVICE_LOST] * len(samples)
        if len(samples) == 1:
            return [failure]
        half = (len(samples) + 1) // 2
        if trouble == "memory":
            self.safe_batch = half
        logger.warning("%s in a batch of %d; halving", failure.kind, len(samples))
        return [*self._run(samples[:half]), *self._run(samples[half:])]

    def _forward(self, samples: list[Any]) -> list[Any]:
        batch = self._batch(samples)
        with autocast(self.device, self.options.autocast):
            if self.takes_several and isinstance(batch, dict):
                output = self.model(**batch)
            elif self.takes_several and isinstance(batch, tuple):
                output = self.model(*batch)
            else:
                output = self.model(batch)
        if self.device.is_gpu:
            output = map_tensors(lambda tensor: tensor.cpu(), output)
        return split(output, len(samples))

    def _batch(self, samples: list[Any]) -> Any:
        if self.collate is not None:
            batch = self.collate(samples)
        elif self.device.is_gpu and is_tensor(samples[0]):
            batch = stack_pinned(samples, self.pinned)
        else:
            batch = stack(samples, inside=self.is_module)
        return map_tensors(self._placed, batch) if self.is_module else batch

    def _placed(self, tensor: Any) -> Any:
        dtype = self.dtype if tensor.is_floating_point() else None
        tensor = tensor.to(self.device.name, dtype=dtype, non_blocking=True)
        if self.options.channels_last and tensor.dim() == 4:
            import torch

            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def failure_of(
    error: BaseException, *, in_request: bool, traceback: bool = True
) -> Failure:
    """Say what a client is told about an exception; its traceback goes to the log.

    Args:
        error: what decoding or the author's code raised.
        in_request: it was about the request, so that `CLIENT_ERRORS` are its
            client's fault. Their texts, which often quote it, are not logged.
        traceback: False if smaller batches will be tried and raise it again.
    """
    kind, message = type(error).__name__, str(error)[:2000]
    if isinstance(error, RequestError):
        status = error.status if error.status in ERROR_STATUSES else 500
    elif trouble_of(error) == "memory":
        status = 507
    elif in_request and isinstance(error, CLIENT_ERRORS):
        status = 400
    else:
        status = 500
    if status < 500:
        logger.info("request refused: %d %s", status, kind)
    elif traceback:
        logger.error("request failed: %d %s", status, kind, exc_info=error)
    return Failure(status, kind, message or kind)


CLIENT_ERRORS = (ValueError, TypeError, LookupError, OverflowError)
ERROR_STATUSES = {status.value for status in HTTPStatus if status.value >= 400}


def is_failure(output: Any) -> bool:
    """Whether it says why there is no output."""
    return isinstance(output, Failure)


def judged(output: Any, kind: Any, answered: set[Any]) -> Any:
    """Blame the request if the model fails on its shape and has answered others."""
    if not isinstance(output, Failure) or output.status != 500:
        return output
    if kind is None or kind in answered or not answered:
        return output
    others = " or ".join(sorted(map(kind_text, answered))[:3])
    message = f"{output.message} (found {kind_text(kind)}, expected {others})"
    return Failure(400, output.kind, message)


def report_times(context: Any, times: Sequence[float], *, stages: bool) -> None:
    """Hand a batch's times to TorchServe, in ms; each is one line of its log.

    Source: HandlerTime is in TorchServe's default metrics configuration, so it
        reaches Prometheus; the stages need an entry in `metrics_config` each.
    """
    metrics = getattr(context, "metrics", None)
    if metrics is None:
        return
    spans = {"HandlerTime": times[-1] - times[0]}
    if stages:
        names = ("PreprocessTime", "InferenceTime", "PostprocessTime")
        spans |= {name: times[i + 1] - times[i] for i, name in enumerate(names)}
    for name, span_s in spans.items():
        metrics.add_time(name, round(span_s * 1000, 3), 0, "ms")


def end_process_soon() -> None:
    """End this worker once its answer is on the way, so that a clean one starts."""
    logger.error("the GPU failed; this worker ends now")
    timer = threading.Timer(0.5, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


# -------------------------------------------------------------------- requests

IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF", b"II*\0")
NPY = ("application/npy", "application/x-npy", "application/x-numpy")
SAFETENSORS = (
    "application/safetensors",
    "application/x-safetensors",
    "application/vnd.safetensors",
)


def header(headers: Mapping[str, Any], name: str) -> str:
    """Find an HTTP header, however its client spells it; empty if there is none."""
    for key, value in headers.items():
        if key.lower() == name and isinstance(value, str):
            return value
    return ""


def decode(fields: Any, headers: Mapping[str, Any], raw_types: Sequence[str]) -> Any:
    """Decode a request: its body's value, or a dict of the values of its fields.

    Nothing here can run code that a client sent: no pickle is ever read.

    Args:
        fields: values by name; the body of a plain request is named `body`.
        headers: TorchServe's, in which a field's type is under the field's name.
        raw_types: patterns of content types that stay bytes.

    Raises:
        RequestError: 415, the content type is not known.
        ValueError: the content is not what its type says.
    """
    if not isinstance(fields, Mapping):
        return fields
    if not fields:
        # What `curl -d` makes of JSON: a form, which TorchServe finds empty.
        raise RequestError("the request is empty; send a body with its Content-Type")
    values = {}
    for name, value in fields.items():
        own = headers.get(name)
        text = own.get("content-type") if isinstance(own, Mapping) else None
        media_type = (text or "").partition(";")[0].strip().lower()
        is_body = name in ("body", "data")
        values[name] = decode_content(value, media_type, raw_types, is_body=is_body)
    if len(values) == 1 and ("body" in values or "data" in values):
        return next(iter(values.values()))
    return values


def decode_content(
    value: Any, media_type: str, raw_types: Sequence[str], *, is_body: bool = True
) -> Any:
    """Decode bytes by their media type; without one, by what they are."""
    if not isinstance(value, (bytes, bytearray)):
        return value
    decoder = decoder_of(media_type, tuple(raw_types))
    if decoder is decode_untyped and not is_body:
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return decoder(value)


@functools.lru_cache(maxsize=64)
def decoder_of(media_type: str, raw_types: tuple[str, ...]) -> Callable[[Any], Any]:
    """Find what decodes a media type, `unchanged` for those that stay bytes."""
    own = [((each,), unchanged) for each in raw_types]
    for patterns, decoder in (*own, *DECODERS):
        if any(fnmatch.fnmatchcase(media_type or "/", each) for each in patterns):
            return decoder
    known = ", ".join(patterns[0] for patterns, _ in DECODERS[1:])
    raise RequestError(
        f"content type {media_type!r} is not supported; send one of {known}", status=415
    )


def decode_untyped(value: bytes | bytearray) -> Any:
    """Decode an image, an .npy file or JSON (`curl -T`); anything else stays bytes."""
    if value.startswith(IMAGE_STARTS):
        return decode_image(value)
    if value.startswith(b"\x93NUMPY"):
        return decode_npy(value)
    if value[:1] in (b"{", b"["):
        with contextlib.suppress(ValueError):
            return decode_json(value)
    return value


def decode_json(value: bytes | bytearray) -> Any:
    """Decode JSON; NaN and Infinity, which it does not have, are refused."""
    try:
        return json_codec()[0](value)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def decode_image(value: bytes | bytearray) -> Any:
    """Decode an image into a `PIL.Image`, in the mode that it has."""
    try:
        from PIL import Image
    except ImportError as error:
        raise RequestError("images need Pillow on the server", status=415) from error
    try:
        image = Image.open(io.BytesIO(value))
        image.load()
    except Exception as error:
        raise ValueError("the image cannot be decoded") from error
    return image


def decode_npy(value: bytes | bytearray) -> Any:
    """Decode an .npy file into a `numpy.ndarray`; one of Python objects is refused."""
    import numpy as np

    return np.load(io.BytesIO(value), allow_pickle=False)


def decode_safetensors(value: bytes | bytearray) -> Any:
    """Decode a safetensors file: its tensor, or a dict if it has several."""
    tensors = safetensors_views(bytearray(value))
    return next(iter(tensors.values())) if len(tensors) == 1 else tensors


def unchanged(value: Any, *_args: Any, **_kwargs: Any) -> Any:
    """Give back the first argument."""
    return value


DECODERS: Sequence[tuple[Sequence[str], Callable[[Any], Any]]] = (
    (("/",), decode_untyped),
    (("application/json", "application/*+json"), decode_json),
    (("text/*",), lambda value: value.decode()),
    (("image/*",), decode_image),
    (NPY, decode_npy),
    (SAFETENSORS, decode_safetensors),
    (("application/octet-stream", "audio/*", "video/*"), unchanged),
)


def decoded_warmup(warmup: Mapping[str, Any], raw_types: Sequence[str]) -> Any:
    """Decode the request of `handler: warmup:`, written as in a golden case."""
    with blamed("handler.warmup cannot be decoded"):
        if "file" in warmup:
            body = Path(warmup["file"]).read_bytes()
        elif "text" in warmup:
            body = str(warmup["text"]).encode()
        else:
            body = json.dumps(warmup["json"]).encode()
        return decode_content(body, str(warmup.get("content_type", "")), raw_types)


@functools.cache
def json_codec() -> tuple[Callable[..., Any], Callable[[Any], bytes]]:
    """Give functions that read and write JSON: orjson's if it is installed."""
    try:
        import orjson
    except ImportError:
        return loads_strictly, dumps_strictly

    def dumps(value: Any) -> bytes:
        try:
            return orjson.dumps(value, json_default, orjson.OPT_SERIALIZE_NUMPY)
        except TypeError:
            # Keys that are numbers, large integers: only the slower one has them.
            return dumps_strictly(value)

    return orjson.loads, dumps


def loads_strictly(value: bytes | bytearray) -> Any:
    """Read JSON with the standard library, without what orjson refuses too."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(value, parse_constant=refuse)


def dumps_strictly(value: Any) -> bytes:
    """Write JSON with the standard library; NaN and infinity become null."""
    write = functools.partial(
        json.dumps, separators=(",", ":"), default=json_default, allow_nan=False
    )
    try:
        return write(value).encode()
    except ValueError:
        return write(without_nan(value)).encode()


# --------------------------------------------------------------------- batches


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value: Any) -> bool:
    """Whether it is a numpy array; does not import numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_module(value: Any) -> bool:
    """Whether it is a torch module; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def inference_mode() -> contextlib.AbstractContextManager[Any]:
    """Switch off autograd, if torch is there at all."""
    torch = sys.modules.get("torch")
    return contextlib.nullcontext() if torch is None else torch.inference_mode()


def takes_several(forward: Callable[..., Any]) -> bool:
    """Whether a model takes the parts of a sample as arguments of their own.

    If so, it gets a tuple by position and a dict by name; a model of one argument
    gets them whole.
    """
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return False
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return len(parameters) > 1 or any(p.kind in several for p in parameters)


def floating_dtype(model: Any) -> Any:
    """Give the dtype of the model's first floating-point weight, or torch's default."""
    import torch

    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


def to_tensors(sample: Any, dtype: Any) -> Any:
    """Turn arrays, numbers and lists of numbers in a sample into tensors.

    Tensors and arrays keep their dtype, numbers get *dtype*; text, images and the
    like stay as they are.

    Raises:
        ValueError: a list is ragged.
        TypeError: a list holds something else than numbers.
    """
    if is_array(sample):
        return tensor_from_array(sample)
    if isinstance(sample, (bool, int, float)):
        return tensor_from_numbers([sample], dtype)[0]
    if isinstance(sample, Mapping):
        return {key: to_tensors(value, dtype) for key, value in sample.items()}
    if isinstance(sample, tuple) or (isinstance(sample, list) and is_parts(sample)):
        return tuple(to_tensors(value, dtype) for value in sample)
    if isinstance(sample, list):
        return tensor_from_numbers(sample, dtype)
    return sample


def is_parts(values: list[Any]) -> bool:
    """Whether a list holds tensors, arrays or structures of them, not numbers."""
    first = values[0] if values else None
    return is_tensor(first) or is_array(first) or isinstance(first, (Mapping, tuple))


def tensor_from_array(values: Any) -> Any:
    """Give a tensor that shares an array's memory where torch can."""
    import numpy as np
    import torch

    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(native, requirements=("C", "W")))


def tensor_from_numbers(values: list[Any], dtype: Any) -> Any:
    """Give a tensor of a list, or of nested lists of one shape, of numbers."""
    import torch

    if values and not isinstance(values[0], list):
        # Eight times faster than torch.tensor, which looks at each number twice.
        code, wide = ("f", dtype) if dtype == torch.float32 else ("d", torch.float64)
        return torch.frombuffer(array(code, values), dtype=wide).to(dtype)
    try:
        import numpy as np
    except ImportError:
        return torch.tensor(values, dtype=dtype)
    # Text or null among the numbers gives a dtype that torch refuses.
    return torch.from_numpy(np.array(values)).to(dtype)


def kind_of(sample: Any) -> Any:
    """Give what samples must have in common to be stacked; hashable."""
    if is_tensor(sample):
        return "tensor", sample.dtype, tuple(sample.shape), sample.device
    if is_array(sample):
        return "array", sample.dtype, sample.shape
    if isinstance(sample, dict):
        return "dict", tuple((key, kind_of(value)) for key, value in sample.items())
    if isinstance(sample, tuple):
        return "tuple", tuple(map(kind_of, sample))
    return (type(sample).__name__,)


def kind_text(kind: Any) -> str:
    """Write a sample's kind for a reader, such as `float32[3, 224, 224]`."""
    match kind:
        case ("tensor" | "array", dtype, shape, *_):
            return f"{str(dtype).removeprefix('torch.')}{list(shape)}"
        case ("dict", parts):
            return (
                f"{{{', '.join(f'{key}: {kind_text(part)}' for key, part in parts)}}}"
            )
        case ("tuple", parts):
            return f"({', '.join(map(kind_text, parts))})"
    return str(kind[0])


def stack(samples: list[Any], *, inside: bool) -> Any:
    """Make one batch of samples of one kind; a list if they cannot be stacked.

    Args:
        samples: `B` of them, of shape `(...)`.
        inside: stack the parts of dicts and tuples too.

    Returns:
        shape `(B, ...)`.
    """
    first = samples[0]
    if is_tensor(first):
        import torch

        return torch.stack(samples)
    if is_array(first):
        import numpy as np

        return np.stack(samples)
    if inside and isinstance(first, dict):
        return {key: stack([s[key] for s in samples], inside=True) for key in first}
    if inside and isinstance(first, tuple):
        columns = zip(*samples, strict=True)
        return tuple(stack(list(part), inside=True) for part in columns)
    return samples


def stack_pinned(samples: list[Any], buffers: dict[Any, Any]) -> Any:
    """Stack in page-locked memory, which a GPU copies faster, and keep it for reuse.

    The copy of one batch has ended when the next is stacked: the model's output was
    waited for, or the device after a failure.
    """
    import torch

    first = samples[0]
    if first.device.type != "cpu":
        return torch.stack(samples)
    kind = kind_of(first)
    buffer = buffers.get(kind)
    if buffer is None or len(buffer) < len(samples):
        if len(buffers) >= 8:
            buffers.clear()
        shape = (len(samples), *first.shape)
        buffer = torch.empty(shape, dtype=first.dtype, pin_memory=True)
        buffers[kind] = buffer
    return torch.stack(samples, out=buffer[: len(samples)])


def map_tensors(change: Callable[[Any], Any], value: Any) -> Any:
    """Change each tensor in a structure of dicts, lists and tuples."""
    if is_tensor(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(change, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return like(value, [map_tensors(change, part) for part in value])
    return value


def like(sequence: Any, parts: list[Any]) -> Any:
    """Give parts as a list, tuple or named tuple, as *sequence* is one."""
    if hasattr(sequence, "_fields"):
        return type(sequence)(*parts)
    return tuple(parts) if isinstance(sequence, tuple) else parts


def split(output: Any, count: int) -> list[Any]:
    """Give each sample its part of the model's output.

    A tensor or array is split along its first axis; of a tuple or dict, each part
    is; a list has one item for each sample.

    Returns:
        *count* outputs without the batch axis; views, not copies.

    Raises:
        ValueError: the output has no part for each sample.
    """
    found = list(getattr(output, "shape", ()))
    if (is_tensor(output) or is_array(output)) and found[:1] == [count]:
        return list(output)
    if isinstance(output, list) and len(output) == count:
        return output
    if isinstance(output, Mapping):
        columns = {key: split(part, count) for key, part in output.items()}
        return [{key: c[row] for key, c in columns.items()} for row in range(count)]
    if isinstance(output, tuple) and output:
        parts = [split(part, count) for part in output]
        return [like(output, list(row)) for row in zip(*parts, strict=True)]
    if output is None:
        return [None] * count
    what = f"{type(output).__name__} of shape {found}"
    if isinstance(output, list):
        what = f"a list of {len(output)}"
    raise ValueError(
        f"the model returned {what} for {count} sample(s); the first axis of its output"
        " is the batch"
    )


# --------------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's encoded result."""

    body: bytes
    content_type: str


def send(answer: Answer | Failure, context: Any, index: int) -> bytes:
    """Set status and content type of one answer, and give its body.

    The reason phrase is fixed by the status: one with a line break in it, such as
    an exception's text, would end the worker (netty refuses it).
    """
    if isinstance(answer, Failure):
        phrase = HTTPStatus(answer.status).phrase
        context.set_response_status(answer.status, phrase, index)
        told = {"code": answer.status, "type": answer.kind, "message": answer.message}
        answer = Answer(json.dumps(told).encode(), "application/json")
    context.set_response_content_type(index, answer.content_type)
    return answer.body


def encode(value: Any, accept: str) -> Answer:
    """Encode a result as its client accepts it, by default as compact JSON.

    Bytes and text are sent as they are.

    Raises:
        TypeError: JSON has nothing for it.
        RequestError: 406, it cannot be what the client accepts.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Answer(bytes(value), "application/octet-stream")
    if isinstance(value, str):
        return Answer(value.encode(), "text/plain; charset=utf-8")
    for media_types, encoder in ((NPY, encode_npy), (SAFETENSORS, encode_safetensors)):
        for media_type in media_types:
            if media_type in accept:
                return Answer(encoder(value), media_type)
    plain = json_default(value) if is_tensor(value) else value
    return Answer(json_codec()[1](plain), "application/json")


def encode_npy(value: Any) -> bytes:
    """Write a tensor, an array or nested lists of numbers as an .npy file."""
    import numpy as np

    try:
        numbers = np.asarray(json_default(value) if is_tensor(value) else value)
    except ValueError as error:
        raise RequestError("the answer is ragged; accept JSON", status=406) from error
    if numbers.dtype == object:
        raise RequestError("the answer is no array; accept JSON", status=406)
    buffer = io.BytesIO()
    np.save(buffer, numbers, allow_pickle=False)
    return buffer.getvalue()


def encode_safetensors(value: Any) -> bytes:
    """Write tensors by name as a safetensors file; a single one is named `output`."""
    import torch

    entries: dict[str, Any] = {}
    chunks: list[bytes] = []
    start = 0
    named = value if isinstance(value, Mapping) else {"output": value}
    for name, part in named.items():
        try:
            tensor = torch.as_tensor(part).detach().cpu().contiguous()
            dtype = SAFETENSORS_NAMES[str(tensor.dtype).removeprefix("torch.")]
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            raise RequestError(
                "the answer is no tensor; accept JSON", status=406
            ) from error
        chunks.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        offsets = [start, start := start + len(chunks[-1])]
        shape = list(tensor.shape)
        entries[str(name)] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def json_default(value: Any) -> Any:
    """Give the JSON encoders something that they know for what they do not."""
    if is_tensor(value):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        numpy = value.numpy() if "numpy" in sys.modules and value.dim() else None
        return value.tolist() if numpy is None else numpy
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(
        f"{type(value).__name__} cannot be encoded as JSON; return numbers, text,"
        " lists, dicts, tensors, arrays or dataclasses from postprocess_function"
    )


def without_nan(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None, as orjson does."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(part) for part in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return without_nan(json_default(value))


# --------------------------------------------------------------------- options


def option(default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
    """Declare an option: its default, which values it can have, and that in words."""
    return field(default=default, metadata={"fits": fits, "expected": expected})


def one_of(*values: str) -> Any:
    """Declare an option with these values."""
    return option(None, lambda value: value in values, " or ".join(values))


def flag() -> Any:
    """Declare an option that is on or off."""
    return option(False, lambda value: isinstance(value, bool), "true or false")  # noqa: FBT003


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


# ---------------------------------------------------------------- checkpoints

# fmt: off - a table
SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
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
# fmt: on
SAFETENSORS_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}


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
        setattr(init, name, unchanged)
    try:
        yield
    finally:
        for name, function in awake.items():
            setattr(init, name, function)


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


def safetensors_views(buffer: Any) -> dict[str, Any]:
    """Give the tensors of a safetensors file, as views of its bytes.

    Raises:
        ValueError: the bytes are not such a file.

    Source: https://github.com/huggingface/safetensors#format
    """
    length = int.from_bytes(buffer[:8], "little")
    if len(buffer) < 8 or length > len(buffer) - 8:
        raise ValueError("the safetensors header is cut off")
    start = 8 + length
    entries = dict(json.loads(bytes(buffer[8:start])))
    entries.pop("__metadata__", None)
    return {name: _view(buffer, start, entry) for name, entry in entries.items()}


def _view(buffer: Any, start: int, entry: Mapping[str, Any]) -> Any:
    import torch

    dtype = getattr(torch, SAFETENSORS_DTYPES[entry["dtype"]])
    shape = [int(size) for size in entry["shape"]]
    begin, end = (start + int(offset) for offset in entry["data_offsets"])
    count = math.prod(shape)
    size = torch.empty(0, dtype=dtype).element_size()
    if not (start <= begin <= end <= len(buffer)) or end - begin != count * size:
        raise ValueError("a tensor of the safetensors file is outside of it")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    if begin % size:
        buffer, begin = bytearray(buffer[begin:end]), 0
    flat = torch.frombuffer(buffer, dtype=dtype, count=count, offset=begin)
    return flat.reshape(shape)


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


# -------------------------------------------------------------------- devices


@dataclass(frozen=True)
class Device:
    """Where this worker's model runs."""

    index: int | None = None
    """Of the GPU, None for the CPU."""

    limit_mib: float | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.index is not None

    @property
    def name(self) -> str:
        """As torch calls it."""
        return "cpu" if self.index is None else f"cuda:{self.index}"

    def report(self) -> dict[str, Any]:
        """Tell the device and, in MB of 2^20 bytes, this worker's memory on it."""
        if self.index is None:
            return {"device": self.name}
        from torch import cuda

        return {
            "device": self.name,
            "memoryLimitMB": self.limit_mib,
            "memoryAllocatedMB": round(cuda.memory_allocated(self.index) / 2**20, 1),
            "memoryReservedMB": round(cuda.memory_reserved(self.index) / 2**20, 1),
            "memoryPeakMB": round(cuda.max_memory_reserved(self.index) / 2**20, 1),
        }

    def is_lost_after(self, trouble: str | None) -> bool:
        """Whether nothing more can run on it; frees what a failure left behind.

        An error of CUDA may stick to the process or not; only trying tells.
        """
        if self.index is None:
            return False
        from torch import cuda

        try:
            cuda.synchronize(self.index)
            if trouble == "memory":
                cuda.empty_cache()
        except RuntimeError:
            return True
        return False


def take_device(gpu_id: int | None, options: Options) -> Device:
    """Choose the device, and bound what this process can allocate on it.

    The bound holds for the tensors of this process: the caching allocator's
    segments. CUDA's context, its kernels and other libraries' own memory, a few
    hundred MB, come on top.

    Raises:
        LoadError: a GPU is asked for and there is none.
    """
    if gpu_id is None:
        if options.device_type == "gpu":
            raise LoadError(
                "model-config.yaml has deviceType gpu, and TorchServe found no GPU on"
                " this host; run it on one, or use deviceType cpu"
            )
        return Device()
    from torch import cuda

    if not cuda.is_available():
        return _without_cuda(gpu_id, options)
    # Before anything touches CUDA: a context on GPU 0 costs hundreds of MB there.
    cuda.set_device(gpu_id)
    if options.max_gpu_memory_mib is not None:
        total = cuda.get_device_properties(gpu_id).total_memory
        fraction = memory_fraction(options.max_gpu_memory_mib, total)
        cuda.set_per_process_memory_fraction(fraction, gpu_id)
    return Device(gpu_id, options.max_gpu_memory_mib)


def _without_cuda(gpu_id: int, options: Options) -> Device:
    import torch

    found = f"TorchServe gave this worker GPU {gpu_id}, and torch {torch.__version__}"
    if options.device_type == "gpu":
        raise LoadError(f"{found} can use none; install a torch built for this GPU")
    logger.warning("%s can use none; the model runs on the CPU", found)
    return Device()


def memory_fraction(limit_mib: float, total_bytes: int) -> float:
    """Give the share of a device that is *limit_mib* of 2^20 bytes, at most all."""
    return min(1.0, limit_mib * 2**20 / total_bytes)


def autocast(device: Device, dtype: str | None) -> Any:
    """Run the model in a lower precision, if asked for."""
    if dtype is None:
        return contextlib.nullcontext()
    import torch

    return torch.autocast("cuda" if device.is_gpu else "cpu", getattr(torch, dtype))


def compiled(model: Any, arguments: bool | Mapping[str, Any]) -> Any:  # noqa: FBT001
    """Compile the model; the first call is slow, so give an example to warm it up."""
    import torch

    return torch.compile(model, **(arguments if isinstance(arguments, Mapping) else {}))


def trouble_of(error: BaseException) -> str | None:
    """Tell memory that ran out from other trouble with a device, or None.

    By names and texts, because older versions of torch lack the classes, and
    libraries below it raise plain RuntimeErrors.
    """
    text = str(error)
    starved = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory"
    if isinstance(error, RuntimeError) and any(sign in text for sign in starved):
        return "memory"
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in text:
        return "device"
    return None


# ---------------------------------------------------------------------- files

STATE_DIRECTORY = ".model-servers"
RESERVED = (STATE_DIRECTORY, "MAR-INF", "base_handler.py")


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
