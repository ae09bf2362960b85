"""What stops the tool: three families of errors, each with an exit status.

Findings about a contribution are values (``core/findings.py``), not errors.
Anything that is neither is a bug and ends with a traceback.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses of ``ms``."""

    DONE = 0
    """Done, or nothing to do."""

    FINDINGS = 1
    """The contribution is wrong."""

    USAGE = 2
    """You asked for something impossible."""

    OUTSIDE = 3
    """The store, TorchServe, NVML or the disk failed; a retry may help."""

    REFUSED = 4
    """A safety rule wants a person to decide."""

    PENDING = 5
    """Changes are pending (only with ``plan --exit-code``)."""

    BUG = 70
    """An error in ``ms`` itself."""


class ModelServersError(Exception):
    """An expected end of the run: what, and the next command to type."""

    exit_status: ExitStatus = ExitStatus.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RequestError(ModelServersError):
    """You asked for something impossible."""

    exit_status = ExitStatus.USAGE


class OutsideError(ModelServersError):
    """Something outside failed: store, TorchServe, NVML, disk."""

    exit_status = ExitStatus.OUTSIDE


class RefusedError(ModelServersError):
    """A safety rule wants a person to decide."""

    exit_status = ExitStatus.REFUSED
