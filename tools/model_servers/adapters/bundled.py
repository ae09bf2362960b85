"""Where the schemas and the shared handler are, in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_WHEEL = _PACKAGE / "_bundled"
_CHECKOUT = _PACKAGE.parents[1]


def schemas() -> Path:
    """Give the directory of the JSON Schemas that came with this version."""
    return _WHEEL / "schemas" if _WHEEL.is_dir() else _CHECKOUT / "schemas"


def handler() -> Path:
    """Give the shared handler that came with this version.

    It is data, never an installed module: TorchServe puts a model's directory
    before site-packages, so a copy there would hide an archive without its own.
    """
    if _WHEEL.is_dir():
        return _WHEEL / "base_handler.py"
    return _CHECKOUT / "handler" / "base_handler.py"
