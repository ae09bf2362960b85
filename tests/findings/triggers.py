"""The smallest model that triggers each kind of finding, one per code.

A new code needs a line in ``TRIGGERS``: what to change about a valid model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zoo
from model_servers.core.findings import Code

TODAY = "2027-01-15"


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A way to make a valid model wrong in one way."""

    version: str = "1.0.0"
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    model: zoo.Changes = field(default_factory=dict)
    config: zoo.Changes = field(default_factory=dict)
    spoil: Callable[[Path], object] = lambda directory: None
    """Called with the model's directory, for what files cannot say."""

    released: Trigger | None = None
    """What the store has of the model, for faults that only a comparison shows."""

    def make(self, registry: Path) -> Path:
        directory = zoo.make_model(
            registry,
            version=self.version,
            files=self.files,
            model=self.model,
            config=self.config,
        )
        self.spoil(directory)
        return directory


def requirements(text: str) -> Trigger:
    return Trigger(
        files={"requirements.txt": text},
        model={"build": {"requirements_file": "requirements.txt"}},
    )


def exception(code: str, until: str) -> zoo.Changes:
    return {"exceptions": [{"code": code, "reason": "a test", "until": until}]}


def sparse(path: str) -> Callable[[Path], object]:
    """Make a file large without writing it."""
    return lambda directory: os.truncate(directory / path, 11 * 2**20)


TRIGGERS: Mapping[Code, Trigger] = {
    Code.UNREADABLE: Trigger(files={"model-config.yaml": "batchSize: 1\nbatchSize: 2"}),
    Code.SHAPE: Trigger(config={"batchsize": 4}),
    Code.TOO_NEW: Trigger(model={"schema": 2}),
    Code.NOT_EXCEPTED: Trigger(model=exception("MS020", "2027-12-31")),
    Code.EXPIRED_EXCEPTION: Trigger(
        files={"labels.txt": "cat"}, model=exception("MS026", "2027-01-14")
    ),
    Code.UNUSED_EXCEPTION: Trigger(model=exception("MS026", "2027-12-31")),
    Code.NAME: Trigger(files={"model.yaml": zoo.as_yaml(zoo.model_document("big"))}),
    Code.TWIN: Trigger(spoil=lambda directory: (directory.parent / "Tiny").mkdir()),
    Code.MISSING_FILE: Trigger(files={"checkpoint.pt": None}),
    Code.OUTSIDE_MODEL: Trigger(model={"build": {"extra_files": ["../other.py"]}}),
    Code.COLLISION: Trigger(model={"build": {"extra_files": ["checkpoint.pt"]}}),
    Code.EXTRA_FILES: Trigger(config={"system": {"extraFiles": "source.tar.gz"}}),
    Code.HANDLER_OPTION: Trigger(config={"handler": {"autocats": "bfloat16"}}),
    Code.CONTRADICTION: Trigger(config={"minWorkers": 2, "maxWorkers": 1}),
    Code.UNUSED_FILE: Trigger(files={"labels.txt": "cat"}),
    Code.TIMEOUT: Trigger(config={"responseTimeout": 5200}),
    Code.BATCH_DELAY: Trigger(config={"maxBatchDelay": 4000}),
    Code.DEAD_LINK: Trigger(
        spoil=lambda directory: (directory / "labels.txt").symlink_to("labels.txt")
    ),
    Code.NO_HANDLER: Trigger(files={"handler_model.py": "print('hello')\n"}),
    Code.SHADOWED: Trigger(
        files={"json.py": ""}, model={"build": {"extra_files": ["json.py"]}}
    ),
    Code.REQUIREMENTS: requirements("torch==2.3.0\n"),
    Code.UNPINNED: requirements("numpy>=2\n"),
    Code.REQUIREMENT_OPTION: requirements("-e .\n"),
    Code.CHECKPOINT: Trigger(model={"checkpoint": {"sha256": "00" * 32, "size": 2048}}),
    Code.LARGE_FILE: Trigger(spoil=sparse("checkpoint.pt")),
    Code.GOLDEN: Trigger(files={"golden/case.yaml": None}),
    Code.UNRECORDED: Trigger(
        files={"golden/case.yaml": zoo.as_yaml(zoo.changed(zoo.CASE, {"expect": None}))}
    ),
    Code.INPUTS_CHANGED: Trigger(
        config={"batchSize": 2}, released=Trigger(config={"batchSize": 1})
    ),
    Code.VERSION_FELL: Trigger(released=Trigger(version="1.0.1")),
    Code.SECRET: Trigger(files={"README.md": "AK" + "IA" + "ABCDEFGH01234567"}),
    Code.ABSOLUTE_PATH: Trigger(files={"train.py": "open('/home/ada/labels.txt')\n"}),
    Code.GPU_MEMORY: Trigger(config={"deviceType": "gpu"}),
    Code.CLIENT_TIMEOUT: Trigger(config={"clientTimeoutInMills": 1000}),
}
