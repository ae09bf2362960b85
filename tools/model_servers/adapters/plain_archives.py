"""Plain archives in a model store, as TorchServe itself unpacks and loads them."""

from __future__ import annotations

from pathlib import Path

from model_servers.core.names import Ref
from model_servers.core.spec import Serving

_LOAD_ERROR = "load-error.txt"
"""Where the shared handler says why it could not load a model."""


class PlainArchive:
    """The one archive that a TorchServe of its own has unpacked."""

    def __init__(self, serving: Serving, *, temp: Path) -> None:
        """Take what it asks for, and TorchServe's folder for temporary files."""
        self._serving = serving
        self._temp = temp

    def serving(self, _: Ref) -> Serving:
        """Give what the archive asks of TorchServe."""
        return self._serving

    def load_error(self, _: Ref) -> str | None:
        """Give the shared handler's own report, from wherever it was unpacked."""
        for report in self._temp.glob(f"models/*/{_LOAD_ERROR}"):
            return report.read_text("utf-8").strip()
        return None

    def clear_load_error(self, _: Ref) -> None:
        """Do nothing: TorchServe unpacks a fresh copy for every try."""
