"""Reads what ``ms test`` has reported, through its schema.

A report comes from where models' code ran: nothing in it is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from model_servers.adapters import documents
from model_servers.core.presentation import visible
from model_servers.errors import OutsideError, RequestError

_MAX_BYTES = 64 * 2**20
_AGAIN = "write it again: ms test MODEL --layout mar --report {}"


def read(path: Path) -> list[Mapping[str, Any]]:
    """Give the reports of a file, or of the files in a folder, each of one model.

    Raises:
        RequestError: there is none, or it holds something else.
        OutsideError: one cannot be read.
    """
    if not path.is_dir():
        return _read(path)
    files = sorted(file for file in path.rglob("*.json") if not file.is_dir())
    if not files:
        raise RequestError(
            f"there is no report in {path}", hint=_AGAIN.format(path / "report.json")
        )
    return [report for file in files for report in _read(file)]


def _read(path: Path) -> list[Mapping[str, Any]]:
    hint = _AGAIN.format(path)
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise RequestError(f"the report {path} is larger than 64 MiB", hint=hint)
        found = json.loads(text, parse_constant=_no_number)
        # Half of a surrogate pair is JSON, but no release could hold it.
        json.dumps(found, ensure_ascii=False).encode()
    except FileNotFoundError as error:
        raise RequestError(f"there is no report {path}", hint=hint) from error
    except OSError as error:
        raise OutsideError(
            f"the report {path} cannot be read: {error.strerror}", hint=hint
        ) from error
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the report {path} is not JSON: {error}", hint=hint
        ) from error
    if found == []:
        raise RequestError(
            f"the report {path} is an empty list; expected one report, or several",
            hint=hint,
        )
    reports = found if isinstance(found, list) else [found]
    for report in reports:
        for _, where, message, fix in documents.violations(report, schema="report"):
            place = f"{where}: " if where else ""
            raise RequestError(
                visible(f"the report {path}: {place}{message}"), hint=visible(fix)
            )
    return reports


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
