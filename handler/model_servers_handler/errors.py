"""What can go wrong: what an author, a client and the log are told about it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from traceback import format_tb
from typing import Any

CLIENT_ERRORS = (ValueError, TypeError, LookupError, OverflowError)
ERROR_STATUSES = {status.value for status in HTTPStatus if status.value >= 400}

logger = logging.getLogger("model_servers.handler")


class RequestError(Exception):
    """Answers one request with an HTTP status; for an author's function to raise."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class LoadError(RuntimeError):
    """Why a model cannot be loaded, in one line for its author."""


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `LoadError` that starts with *what*."""
    try:
        yield
    except (LoadError, MemoryError):
        raise
    except BaseException as error:  # sys.exit() in an author's function, too
        raise LoadError(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Give an exception's class and message without line breaks."""
    return " ".join(f"{type(error).__name__}: {text_of(error)}".split())


def text_of(error: BaseException) -> str:
    """Give an exception's message; nothing if it fails to tell it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an author's class may raise anything
        return ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one request has no result: its HTTP status and what its client is told."""

    status: int
    kind: str
    message: str


DEVICE_LOST = Failure(507, "DeviceLost", "the GPU failed; the worker is restarting")


def is_failure(output: Any) -> bool:
    """Whether it says why there is no output."""
    return isinstance(output, Failure)


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
    kind, message = type(error).__name__, text_of(error)[:2000]
    if isinstance(error, RequestError):
        status = error.status if is_error_status(error.status) else 500
    elif trouble_of(error) == "memory":
        status = 507
    elif in_request and isinstance(error, CLIENT_ERRORS):
        status = 400
    else:
        status = 500
    if status < 500:
        logger.info("request refused: %d %s", status, kind)
    elif traceback:
        # Without the message: it may quote a request, and TorchServe reads lines of
        # this output as metrics and as the worker's pid.
        frames = "".join(format_tb(error.__traceback__))
        logger.error(
            "request failed: %d %s\nTraceback (most recent call last):\n%s",
            status,
            kind,
            frames,
        )
    return Failure(status, kind, message or kind)


def is_error_status(status: object) -> bool:
    """Whether it is an HTTP status that means an error."""
    return isinstance(status, int) and status in ERROR_STATUSES


def trouble_of(error: BaseException) -> str | None:
    """Tell memory that ran out from other trouble with a device, or None.

    By names and texts, because older versions of torch lack the classes, and
    libraries below it raise plain RuntimeErrors.
    """
    text = text_of(error)
    starved = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory"
    if isinstance(error, RuntimeError) and any(sign in text for sign in starved):
        return "memory"
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in text:
        return "device"
    return None
