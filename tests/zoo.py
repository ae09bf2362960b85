"""Tiny model directories, built from dicts; one list of all kinds that are valid."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

Changes = Mapping[str, Any]
"""What replaces parts of a mapping; a mapping in it changes a mapping, None removes."""

_NOTHING: Changes = MappingProxyType({})

HANDLER = """\
from base_handler import handler_factory


def init_function():
    return lambda batch: batch


handler = handler_factory(init_function=init_function)
"""


def checkpoint_of(count: int) -> bytes:
    """Give one tensor of bytes, as safetensors; the handler reads a file by content."""
    tensor = {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}
    header = json.dumps({"weight": tensor}).encode().ljust(120)
    numbers = bytes(range(256)) * (count // 256 + 1)
    return len(header).to_bytes(8, "little") + header + numbers[:count]


CHECKPOINT = checkpoint_of(1920)

CASE = {
    "schema": 1,
    "request": {"content_type": "application/json", "json": [1, 2]},
    "expect": {"json": [1, 2]},
}


def version_of(directory: Path) -> str:
    """Tell the version of a model that stands in a registry."""
    document: dict[str, str] = yaml.safe_load((directory / "model.yaml").read_text())
    return document["version"]


def model_document(name: str = "tiny", version: str = "1.0.0", **changes: Any) -> Any:
    """Give a valid ``model.yaml`` as values, with *changes*."""
    document = {
        "schema": 1,
        "name": name,
        "version": version,
        "summary": "A model for tests.",
        "license": "Apache-2.0",
        "maintainers": ["@model-servers"],
        "build": {
            "model_file": "handler_model.py",
            "config_file": "model-config.yaml",
            "checkpoint_file": "checkpoint.pt",
        },
    }
    return changed(document, changes)


def config_document(**changes: Any) -> Any:
    """Give a valid ``model-config.yaml`` as values, with *changes*."""
    document = {
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 4,
        "maxBatchDelay": 5,
        "responseTimeout": 30,
    }
    return changed(document, changes)


def changed(document: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Give *document* with *changes*; neither is touched."""
    result = dict(document)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = changed(result[key], value)
        else:
            result[key] = value
    return result


def make_model(
    registry: Path,
    name: str = "tiny",
    *,
    version: str = "1.0.0",
    files: Mapping[str, str | bytes | None] = _NOTHING,
    model: Changes = _NOTHING,
    config: Changes = _NOTHING,
) -> Path:
    """Write a model, valid unless the arguments make it wrong.

    Args:
        registry: the directory it is written into; made if missing.
        name: of the model and its directory.
        version: of the model.
        files: texts or bytes by path; None removes a file of the default.
        model: changes of ``model.yaml``.
        config: changes of ``model-config.yaml``.

    Returns:
        The model's directory.
    """
    contents: dict[str, str | bytes | None] = {
        "model.yaml": as_yaml(model_document(name, version, **model)),
        "model-config.yaml": as_yaml(config_document(**config)),
        "handler_model.py": HANDLER,
        "checkpoint.pt": CHECKPOINT,
        "golden/case.yaml": as_yaml(CASE),
        **files,
    }
    directory = registry / name
    for path, content in contents.items():
        if content is None:
            continue
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def write_wheel(folder: Path, *, text: str = "NUMBER = 42\n") -> str:
    """Write a wheel by hand and give the requirement that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tinylib-1.0-py3-none-any.whl"
    files = {
        "tinylib/__init__.py": text,
        "tinylib-1.0.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: tinylib\nVersion: 1.0\n"
        ),
        "tinylib-1.0.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n"
        ),
    }
    record = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(
            "tinylib-1.0.dist-info/RECORD", f"{record}tinylib-1.0.dist-info/RECORD,,\n"
        )
    return f"tinylib @ {path.as_uri()}\n"


def as_yaml(document: Any) -> str:
    """Write a document as a person would."""
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One kind of valid model."""

    title: str
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    model: Changes = field(default_factory=dict)
    config: Changes = field(default_factory=dict)

    def make(
        self, registry: Path, name: str = "tiny", *, version: str = "1.0.0"
    ) -> Path:
        """Write a model of this kind and give its directory."""
        return make_model(
            registry,
            name,
            version=version,
            files=self.files,
            model=self.model,
            config=self.config,
        )

    def __str__(self) -> str:
        return self.title


SOURCES = {
    "library/__init__.py": "",
    "library/deep/numbers.py": "ONE = 1\n",
    "library/table.json": "[1, 2]\n",
}

VARIANTS = (
    Variant(title="plain"),
    Variant(
        title="no checkpoint",
        files={"checkpoint.pt": None},
        model={"build": {"checkpoint_file": None}},
    ),
    Variant(
        title="source archive",
        files=SOURCES,
        model={"build": {"extra_files": ["library"]}},
        config={"system": {"extraFiles": "library.tar.gz"}},
    ),
    Variant(
        title="extra files",
        files={**SOURCES, "labels.txt": "cat\ndog\n"},
        model={"build": {"extra_files": ["labels.txt", "library"]}},
    ),
    Variant(
        title="requirements",
        files={"requirements.txt": "six==1.17.0\n"},
        model={"build": {"requirements_file": "requirements.txt"}},
    ),
    Variant(
        title="everything",
        files={
            **SOURCES,
            "requirements.txt": "six==1.17.0\n",
            "README.md": "# tiny\n",
            "golden/text.yaml": as_yaml(
                {
                    **CASE,
                    "request": {"content_type": "text/plain", "file": "words.txt"},
                }
            ),
            "golden/words.txt": "one two\n",
        },
        model={
            "build": {
                "requirements_file": "requirements.txt",
                "extra_files": ["library"],
            },
            "golden": "golden",
        },
        config={"system": {"extraFiles": "library.tar", "maxGPUMemory": 100}},
    ),
)
"""Every kind of valid model; use with ``parametrize(..., ids=str)``."""
