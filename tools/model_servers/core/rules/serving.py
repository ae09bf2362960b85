"""Rules about ``model-config.yaml``: what TorchServe takes silently, and regrets."""

from __future__ import annotations

from collections.abc import Iterator

from model_servers.core.contribution import MODEL_FILE
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import SOURCE_ARCHIVE_ENDINGS, makes_source_archive
from model_servers.core.rules.subject import Subject

_ARCHIVE_ENDINGS = (*SOURCE_ARCHIVE_ENDINGS, ".zip")
_LONG_TIMEOUT_S = 3600
_LONG_DELAY_MS = 1000


def extra_files(subject: Subject) -> Iterator[Finding]:
    """``system.extraFiles`` and ``build.extra_files`` agree."""
    if subject.serving is None or not subject.serving.extra_files:
        return
    archives = subject.serving.extra_files
    for message, fix in _disagreements(subject, archives):
        yield from _in_config(
            subject, Code.EXTRA_FILES, message, where="system.extraFiles", fix=fix
        )


def _disagreements(
    subject: Subject, archives: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    listed, files = subject.spec.build.extra_files, subject.contribution.files
    if not listed:
        yield (
            f"build.extra_files lists nothing for system.extraFiles {archives[0]!r}",
            f"list the files of the archive in build.extra_files of {MODEL_FILE}",
        )
        return
    made = [one for one in archives if makes_source_archive(listed, one, files)]
    for archive in archives:
        if archive not in made and archive not in listed:
            yield (
                f"{archive!r} exists, but build.extra_files does not list it",
                f"list {archive} in build.extra_files, or delete it to have it built",
            )
        if archive in made and not archive.endswith(SOURCE_ARCHIVE_ENDINGS):
            yield (
                f"the build cannot make {archive!r}; it makes "
                + ", ".join(SOURCE_ARCHIVE_ENDINGS),
                f"add {archive} to the directory, or name a .tar.gz",
            )
    if made and all(path.endswith(_ARCHIVE_ENDINGS) for path in listed):
        yield (
            f"{made[0]!r} does not exist, and would be an archive of "
            + ", ".join(listed),
            f"name {listed[0]} in system.extraFiles",
        )
    if len(made) > 1:
        yield (
            f"{', '.join(made)} do not exist; the build makes at most one archive",
            "name one archive for build.extra_files, or add the others",
        )


def timeouts(subject: Subject) -> Iterator[Finding]:
    """Timeouts are in seconds."""
    serving = subject.serving
    if serving is None:
        return
    for key, timeout_s in (
        ("responseTimeout", serving.response_timeout_s),
        ("startupTimeout", serving.startup_timeout_s),
    ):
        if timeout_s is not None and timeout_s > _LONG_TIMEOUT_S:
            yield from _in_config(
                subject,
                Code.TIMEOUT,
                f"{key} is {timeout_s} seconds, which is {timeout_s / 3600:.1f} hours",
                where=key,
                fix=f"if you mean milliseconds, write {key}: "
                f"{max(1, round(timeout_s / 1000))}",
            )


def batch_delay(subject: Subject) -> Iterator[Finding]:
    """A lone client does not notice batching."""
    serving = subject.serving
    if serving is None or (serving.batch_size or 1) == 1:
        return
    delay_ms = serving.max_batch_delay_ms
    if delay_ms is not None and delay_ms > _LONG_DELAY_MS:
        yield from _in_config(
            subject,
            Code.BATCH_DELAY,
            f"a request that is alone waits {delay_ms / 1000:.1f} seconds for others",
            where="maxBatchDelay",
            fix="write a delay that a client does not notice, such as 5",
        )


def client_timeout(subject: Subject) -> Iterator[Finding]:
    """No request is dropped without an answer.

    Source: TorchServe 0.12, BatchAggregator.java:101-112.
    """
    config = subject.contribution.config
    if config is not None and config.data.get("clientTimeoutInMills"):
        yield from _in_config(
            subject,
            Code.CLIENT_TIMEOUT,
            "requests older than clientTimeoutInMills are dropped without an answer",
            where="clientTimeoutInMills",
            fix="leave it out; clients set their own timeout",
        )


def gpu_memory(subject: Subject) -> Iterator[Finding]:
    """A model that asks for a GPU says how much of one."""
    config, serving = subject.contribution.config, subject.serving
    if config is None or serving is None or serving.gpu_memory_mib is not None:
        return
    asked = str(config.data.get("deviceType", "")).lower()
    if asked == "gpu" or (config.data.get("deviceIds") and asked != "cpu"):
        yield from _in_config(
            subject,
            Code.GPU_MEMORY,
            "the model asks for a GPU, but not for memory of it",
            where="deviceType" if asked else "deviceIds",
            fix="add `maxGPUMemory: MB` to the system: block",
        )


def _in_config(
    subject: Subject, code: Code, message: str, *, where: str, fix: str
) -> Iterator[Finding]:
    config = subject.contribution.config
    if config is not None:
        yield subject.contribution.finding(
            code, message, document=config, where=where, fix=fix
        )
