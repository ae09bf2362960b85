"""A function of an author."""

from typing import Any


def echo(**_: Any) -> Any:
    return list
