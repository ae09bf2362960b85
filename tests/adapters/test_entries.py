"""Entries of a model store that TorchServe could not load, or that would end it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.model_store import write_entry
from model_servers.adapters.entries import why_unusable
from model_servers.core.names import Ref

ECHO = Ref.parse("echo@1.0")
MANIFEST, CONFIG = "MAR-INF/MANIFEST.json", "model-config.yaml"


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        pytest.param(MANIFEST, "{", "it cannot be read: ", id="manifest cut"),
        pytest.param(MANIFEST, "[]", "it cannot be read: ", id="manifest a list"),
        pytest.param(MANIFEST, None, "it cannot be read: ", id="no manifest"),
        pytest.param(CONFIG, None, "it cannot be read: ", id="no config"),
        pytest.param(CONFIG, "a: [", "it cannot be read: ", id="config cut"),
        pytest.param(CONFIG, "on: 1", "it cannot be read: ", id="no text as key"),
        pytest.param(CONFIG, "", f"its {CONFIG} holds no", id="config empty"),
        pytest.param(CONFIG, "- 1", f"its {CONFIG} holds no", id="config a list"),
        pytest.param(
            MANIFEST,
            '{"model": {"modelVersion": "2.0"}}',
            "it says that it is version 2.0",
            id="another version",
        ),
    ],
)
def test_an_entry_that_cannot_be_loaded_is_found(
    tmp_path: Path, path: str, content: str | None, reason: str
) -> None:
    file = write_entry(tmp_path, ECHO) / path
    file.unlink()
    if content is not None:
        file.write_text(content)

    assert why_unusable(tmp_path, ECHO).startswith(reason)


def test_an_entry_that_is_whole_or_has_no_config_is_usable(tmp_path: Path) -> None:
    entry = write_entry(tmp_path, ECHO)
    assert why_unusable(tmp_path, ECHO) == ""
    (entry / MANIFEST).write_text('{"model": {"modelVersion": "1.0"}}')
    (entry / CONFIG).unlink()

    assert why_unusable(tmp_path, ECHO) == ""
