"""Contributions without findings, but for what a test changes in them."""

import zoo
from model_servers.core.contribution import Contribution, Document, FileFacts
from model_servers.core.findings import Finding
from model_servers.core.rules import check

ROOT = "registry/tiny"


SIZE = 10


FILES = ("checkpoint.pt", "golden/case.yaml", "handler_model.py", "model-config.yaml")


SHA256 = "ab" * 32


LETTERS = (
    "it must be lower-case letters and digits, joined by single _ or -, a letter first"
)


def contribution(*, files=(), without=(), model=None, config=None, **parts):
    """Give a contribution without findings, but for the arguments."""
    names = {*FILES, *files} - set(without)
    facts = {
        "name": "tiny",
        "root": ROOT,
        "files": {name: FileFacts(size_bytes=SIZE) for name in names},
        "model": document("model.yaml", zoo.model_document(**model or {})),
        "config": document("model-config.yaml", zoo.config_document(**config or {})),
        "model_source": zoo.HANDLER,
    }
    return Contribution(**{**facts, **parts})


def document(path, data, places=None):
    return Document(path=path, data=data, places=places or {})


def case(**request):
    data = zoo.changed(zoo.CASE, {"request": request})
    return document("golden/case.yaml", data, {"request.file": (4, 3)})


def found(contribution):
    return check(contribution, lambda path: SHA256)


def finding(code, message, *, path="model.yaml", where="", fix="", **place):
    return Finding(
        path=f"{ROOT}/{path}",
        where=where,
        code=code,
        message=message,
        fix=fix,
        **place,
    )


EXTRA = {"build": {"extra_files": ["library"]}}


SYSTEM = {"system": {"extraFiles": "library.tar.gz"}}
