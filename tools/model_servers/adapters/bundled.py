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
    """Give the directory of the shared handler that came with this version.

    It is data, never installed modules: TorchServe puts a model's directory before
    site-packages, so a copy there would hide an archive without its own.
    """
    return _WHEEL / "handler" if _WHEEL.is_dir() else _CHECKOUT / "handler"
