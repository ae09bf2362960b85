"""Raise a model's version in the text of its ``model.yaml``."""

from __future__ import annotations

from collections.abc import Collection

from model_servers.core.contribution import MODEL_FILE
from model_servers.core.names import Version
from model_servers.core.versions import Part, next_version
from model_servers.core.yaml_text import with_scalar
from model_servers.errors import RequestError
from model_servers.ports import ModelTexts


def bump(
    texts: ModelTexts,
    name: str,
    *,
    part: Part | None,
    released: Collection[Version] = (),
) -> tuple[Version, Version]:
    """Write the next version; give the old one and the new one.

    Raises:
        RequestError: the version cannot be found in the text; nothing is changed.
    """
    text = texts.read(name, MODEL_FILE)
    data, places = texts.parse(name, MODEL_FILE, text)
    try:
        old = Version.parse(data["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"{name}/{MODEL_FILE} has no version that can be raised",
            hint=f"ms validate {name}",
        ) from error
    new = next_version(old, part, taken=released)
    try:
        edited = with_scalar(text, places, "version", new.text)
        found, _ = texts.parse(name, MODEL_FILE, edited)
    except (RequestError, ValueError):
        found = None
    if found != {**data, "version": new.text}:
        raise RequestError(
            f"{name}/{MODEL_FILE} writes its version in a way that is not edited",
            hint=f'write `version: "{new}"` yourself',
        )
    texts.replace(name, MODEL_FILE, edited)
    return old, new
