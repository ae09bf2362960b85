"""A new model that starts as a copy of another: what is different in it."""

from __future__ import annotations

import re

from model_servers.core.scaffold.documents import Order, maintainers_yaml, quoted

LEFT_BEHIND = ("channels.yaml",)
"""Files that are about the other model's releases."""


_MADE_BY_TOOLS = ("__pycache__", ".DS_Store", ".ipynb_checkpoints")


def changed(path: str, text: str, *, example: str, order: Order) -> str:
    """Give the text of one file for the new model."""
    if path == "model.yaml":
        return _model_yaml(text, order)
    if path == "README.md":
        return _readme(text, example, order)
    return text


def is_copied(path: str) -> bool:
    """Say whether the new model has this file at all."""
    return path not in LEFT_BEHIND and not any(
        part in _MADE_BY_TOOLS for part in path.split("/")
    )


def is_changed(path: str) -> bool:
    """Say whether the new model has another text in this file."""
    return path in {"model.yaml", "README.md"}


def _model_yaml(text: str, order: Order) -> str:
    values = {
        "name": f"name: {order.name}",
        "version": 'version: "1.0.0"',
        "summary": order.summary and f"summary: {quoted(order.summary)}",
        "license": order.license and f"license: {quoted(order.license)}",
        "maintainers": maintainers_yaml(order),
    }
    for key, line in values.items():
        if line:
            # A key and what is indented below it.
            block = re.compile(rf"^{key}:.*\n?(?:[ -].*\n?)*", re.MULTILINE)
            text = block.sub(lambda _, line=line: f"{line}\n", text, count=1)  # type: ignore[misc]
    return text


def _readme(text: str, example: str, order: Order) -> str:
    text = re.sub(r"\A# .*", lambda _: f"# {order.name}", text)
    places = rf"\b(predictions/|registry/){re.escape(example)}(?![a-z0-9_-])"
    return re.sub(places, lambda match: f"{match.group(1)}{order.name}", text)
