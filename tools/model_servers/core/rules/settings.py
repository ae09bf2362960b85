"""Rules about settings of ``model-config.yaml`` that its schema cannot say.

A schema compares no two numbers, and does not know that every model of a registry
is served by the shared handler.
"""

from __future__ import annotations

from collections.abc import Iterator

from model_servers.core.contribution import Document
from model_servers.core.findings import Code, Finding
from model_servers.core.rules.subject import Subject
from model_servers.core.spelling import did_you_mean

HANDLER_OPTIONS = (
    "autocast",
    "channels_last",
    "checkpoint_format",
    "collate_kwargs",
    "compile",
    "init_kwargs",
    "install_packages_kwargs",
    "matmul_precision",
    "max_response_bytes",
    "postprocess_kwargs",
    "preprocess_kwargs",
    "preprocess_threads",
    "raw_content_types",
    "read_ahead",
    "stage_metrics",
    "torch_threads",
    "unpack_dependencies_kwargs",
    "warmup",
)
"""What the shared handler reads below ``handler:``; it refuses to load another."""

_OF_OTHER_HANDLERS = {
    "pt2": "write `handler: {compile: true}`, or its arguments, instead of pt2",
    "micro_batching": "remove micro_batching; batchSize is what the model is given",
    "pippy": "remove pippy, or split the model over GPUs in init_function",
    "deepspeed": "remove deepspeed, or call DeepSpeed in init_function",
    "dali": "remove dali, or call DALI in preprocess_function",
    "ipex": "remove ipex, or optimize the model in init_function",
    "cache": "remove cache, or keep answers in the author's functions",
}
"""What only TorchServe's own handlers read, and what there is instead.

Source: TorchServe 0.12, ts/torch_handler/ and examples/.
"""

_DEFAULT_MAX_BATCH_DELAY_MS = 100


def contradictions(subject: Subject) -> Iterator[Finding]:
    """No setting makes another one useless, or impossible."""
    contribution, config = subject.contribution, subject.contribution.config
    if config is None:
        return
    for where, message, fix in _contradictions(config):
        yield contribution.finding(
            Code.CONTRADICTION, message, document=config, where=where, fix=fix
        )


def handler_options(subject: Subject) -> Iterator[Finding]:
    """The shared handler knows everything that it is asked for."""
    contribution, config = subject.contribution, subject.contribution.config
    if config is None:
        return
    for key in config.data.get("handler", {}):
        if key not in HANDLER_OPTIONS:
            yield contribution.finding(
                Code.HANDLER_OPTION,
                f"the shared handler has no option {key!r}",
                document=config,
                where=f"handler.{key}",
                fix=did_you_mean(key, HANDLER_OPTIONS, kind="options"),
            )
    if config.data.get("asyncCommunication"):
        yield contribution.finding(
            Code.HANDLER_OPTION,
            "asyncCommunication is for handlers that are coroutines; the shared "
            "handler is none",
            document=config,
            where="asyncCommunication",
            fix="remove asyncCommunication",
        )


def ignored_sections(subject: Subject) -> Iterator[Finding]:
    """Nothing is asked of handlers that do not serve the model."""
    contribution, config = subject.contribution, subject.contribution.config
    if config is None:
        return
    for section, fix in _OF_OTHER_HANDLERS.items():
        if section in config.data:
            yield contribution.finding(
                Code.IGNORED_SECTION,
                f"the shared handler does not read {section}",
                document=config,
                where=section,
                fix=fix,
            )


_Contradiction = tuple[str, str, str]
"""Place, message and fix."""


def _contradictions(config: Document) -> Iterator[_Contradiction]:
    yield from _workers(config)
    yield from _gpus_per_worker(config)
    yield from _micro_batches(config)
    yield from _client_timeout(config)


def _workers(config: Document) -> Iterator[_Contradiction]:
    # Source: TorchServe 0.12 uses the pair only if it makes sense
    #     (ApiUtils.java:201-208, ModelServer.java:291-303).
    fewest, most = config.data.get("minWorkers"), config.data.get("maxWorkers")
    if fewest is not None and most is not None and most < fewest:
        yield (
            "maxWorkers",
            (
                f"maxWorkers is {most}, but minWorkers is {fewest}; TorchServe would "
                "ignore both and start no worker"
            ),
            f"write `maxWorkers: {fewest}` or more",
        )


def _gpus_per_worker(config: Document) -> Iterator[_Contradiction]:
    # Source: TorchServe 0.12 takes whichever of the two numbers stands last
    #     (ModelConfig.java:152-172), and fails to cut the list of GPUs into shares
    #     that are not equal (WorkerThread.java:563).
    level = config.data.get("parallelLevel")
    processes = config.data.get("torchrun", {}).get("nproc-per-node")
    if level is not None and processes is not None and level != processes:
        yield (
            "parallelLevel",
            (
                f"parallelLevel is {level}, but torchrun.nproc-per-node is "
                f"{processes}; both are the GPUs of one worker"
            ),
            f"write `parallelLevel: {processes}`, or remove it",
        )
        return
    share, ids = level or processes or 1, config.data.get("deviceIds", ())
    if "parallelType" in config.data and len(ids) % share:
        yield (
            "deviceIds",
            (
                f"deviceIds has {len(ids)} GPUs, which workers with {share} GPUs each "
                "cannot share"
            ),
            f"list a multiple of {share} GPUs",
        )


def _micro_batches(config: Document) -> Iterator[_Contradiction]:
    size = config.data.get("micro_batching", {}).get("micro_batch_size")
    batch = config.data.get("batchSize")
    if size is not None and batch is not None and size > batch:
        yield (
            "micro_batching.micro_batch_size",
            (
                f"micro_batch_size is {size}, but batchSize is {batch}, so no batch is "
                "ever cut"
            ),
            f"write `micro_batch_size: {batch}` or less",
        )


def _client_timeout(config: Document) -> Iterator[_Contradiction]:
    # Source: TorchServe 0.12 drops what has expired when its batch is taken
    #     (Model.java:505-511), and a batch of several waits for the delay first.
    timeout_ms = config.data.get("clientTimeoutInMills")
    delay_ms = config.data.get("maxBatchDelay", _DEFAULT_MAX_BATCH_DELAY_MS)
    waits = config.data.get("batchSize", 1) > 1
    if timeout_ms is not None and waits and timeout_ms <= delay_ms:
        yield (
            "clientTimeoutInMills",
            (
                f"clientTimeoutInMills is {timeout_ms}, but a request may wait "
                f"{delay_ms} ms for its batch (maxBatchDelay), and would be dropped "
                "without an answer"
            ),
            f"write more than {delay_ms}, or less for maxBatchDelay",
        )
