"""The Handler: a loaded model that answers batches, each request on its own."""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_servers_handler.answers import Answer, encode, send
from model_servers_handler.batches import (
    kind_of,
    kind_text,
    split,
    stack,
    stack_pinned,
    takes_several,
)
from model_servers_handler.devices import Device, autocast, compiled
from model_servers_handler.errors import (
    DEVICE_LOST,
    Failure,
    LoadError,
    blamed,
    failure_of,
    is_failure,
    trouble_of,
)
from model_servers_handler.functions import ModelFunctions
from model_servers_handler.options import Options
from model_servers_handler.requests import decode, decode_content, header
from model_servers_handler.tensors import (
    as_array,
    floating_dtype,
    inference_mode,
    is_module,
    is_tensor,
    map_tensors,
    to_tensors,
)

logger = logging.getLogger("model_servers.handler")


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
        if self.options.stage_metrics:
            report_times(context, times)
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
        if is_tensor(sample) or not self.is_module or self.collate is not None:
            return sample
        if sample is None and self.preprocess is not None:
            raise RuntimeError("preprocess_function returned None; return one sample")
        return to_tensors(sample, self.dtype)

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
        except BaseException as error:  # noqa: BLE001 - an author may call sys.exit
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
                if is_failure(outputs[index]):
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
        except BaseException as error:  # noqa: BLE001 - an author may call sys.exit
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
        if self.postprocess is None:
            # To be encoded: arrays are split, and written as JSON, in half the time.
            output = map_tensors(as_array, output)
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


def judged(failure: Failure, kind: Any, answered: set[Any]) -> Failure:
    """Blame the request if the model fails on its shape and has answered others."""
    if failure.status != 500 or kind is None or kind in answered or not answered:
        return failure
    others = " or ".join(sorted(map(kind_text, answered))[:3])
    message = f"{failure.message} (found {kind_text(kind)}, expected {others})"
    return Failure(400, failure.kind, message)


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


def report_times(context: Any, times: Sequence[float]) -> None:
    """Hand a batch's times to TorchServe, in ms; each is one line of its log.

    The lines cost more than a small model does, and TorchServe's own PredictionTime
    is always there.

    Source: HandlerTime is in TorchServe's default metrics configuration, so it
        reaches Prometheus; the stages need an entry in `metrics_config` each.
    """
    metrics = getattr(context, "metrics", None)
    if metrics is None:
        return
    names = ("PreprocessTime", "InferenceTime", "PostprocessTime")
    spans = {"HandlerTime": times[-1] - times[0]}
    spans |= {name: times[i + 1] - times[i] for i, name in enumerate(names)}
    for name, span_s in spans.items():
        metrics.add_time(name, round(span_s * 1000, 3), 0, "ms")


def end_process_soon() -> None:
    """End this worker once its answer is on the way, so that a clean one starts."""
    logger.error("the GPU failed; this worker ends now")
    timer = threading.Timer(0.5, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
