"""Reads channel pointers out of a store, through their schema."""

from __future__ import annotations

import json

from model_servers.adapters import documents
from model_servers.core.channels import Pointer
from model_servers.core.findings import Code
from model_servers.errors import OutsideError, RequestError

_DAMAGED = "restore the file from a copy of the store"


def read_pointer(body: bytes, *, shown_as: str) -> Pointer:
    """Read one ``channels/<channel>.json``.

    Raises:
        OutsideError: it is damaged.
        RequestError: it was written by a newer version of the tool.
    """
    try:
        data = json.loads(body)
    except ValueError as error:
        raise OutsideError(f"{shown_as} is not JSON: {error}", hint=_DAMAGED) from error
    for code, where, message, fix in documents.violations(
        data, schema="channel-pointer"
    ):
        if code is Code.TOO_NEW:
            raise RequestError(f"{shown_as}: {message}", hint=fix)
        place = f"{where}: " if where else ""
        raise OutsideError(f"{shown_as}: {place}{message}", hint=_DAMAGED)
    return Pointer.from_mapping(data)
