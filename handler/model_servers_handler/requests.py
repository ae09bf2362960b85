"""Requests: from the bytes that clients send to values, by their content type; pure."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_servers_handler.errors import RequestError
from model_servers_handler.formats import (
    NPY,
    SAFETENSORS,
    decode_npy,
    decode_safetensors,
)
from model_servers_handler.json_text import json_codec

IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF", b"II*\0")


def header(headers: Mapping[str, Any], name: str) -> str:
    """Find an HTTP header, however its client spells it; empty if there is none."""
    for key, value in headers.items():
        if len(key) == len(name) and key.lower() == name and isinstance(value, str):
            return value
    return ""


def decode(fields: Any, headers: Mapping[str, Any], raw_types: Sequence[str]) -> Any:
    """Decode a request: its body's value, or a dict of the values of its fields.

    Nothing here can run code that a client sent: no pickle is ever read.

    Args:
        fields: values by name; the body of a plain request is named `body`.
        headers: TorchServe's, in which a field's type is under the field's name.
        raw_types: patterns of content types that stay bytes.

    Raises:
        RequestError: 415, the content type is not known.
        ValueError: the content is not what its type says.
    """
    if not isinstance(fields, dict):
        return fields
    if not fields:
        # What `curl -d` makes of JSON: a form, which TorchServe finds empty.
        raise RequestError("the request is empty; send a body with its Content-Type")
    values = {}
    for name, value in fields.items():
        own = headers.get(name)
        content_type = own.get("content-type") if isinstance(own, dict) else None
        is_body = name in ("body", "data")
        values[name] = decode_content(
            value, content_type or "", raw_types, is_body=is_body
        )
    if len(values) == 1 and ("body" in values or "data" in values):
        return next(iter(values.values()))
    return values


def decode_content(
    value: Any, content_type: str, raw_types: Sequence[str], *, is_body: bool = True
) -> Any:
    """Decode bytes by their content type; without one, by what they are."""
    if not isinstance(value, (bytes, bytearray)):
        return value
    decoder = decoder_of(content_type, tuple(raw_types))
    if decoder is decode_untyped and not is_body:
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return decoder(value)


@functools.lru_cache(maxsize=64)
def decoder_of(content_type: str, raw_types: tuple[str, ...]) -> Callable[[Any], Any]:
    """Find what decodes a content type, `unchanged` for those that stay bytes."""
    media_type = content_type.partition(";")[0].strip().lower()
    own = [((each,), unchanged) for each in raw_types]
    for patterns, decoder in (*own, *DECODERS):
        if any(fnmatch.fnmatchcase(media_type or "/", each) for each in patterns):
            return decoder
    known = ", ".join(patterns[0] for patterns, _ in DECODERS[1:])
    raise RequestError(
        f"content type {media_type!r} is not supported; send one of {known}", status=415
    )


def decode_untyped(value: bytes | bytearray) -> Any:
    """Decode an image, an .npy file or JSON (`curl -T`); anything else stays bytes."""
    if value.startswith(IMAGE_STARTS):
        return decode_image(value)
    if value.startswith(b"\x93NUMPY"):
        return decode_npy(value)
    if value[:1] in (b"{", b"["):
        with contextlib.suppress(ValueError):
            return decode_json(value)
    return bytes(value)


def decode_json(value: bytes | bytearray) -> Any:
    """Decode JSON; NaN and Infinity, which it does not have, are refused."""
    try:
        return json_codec()[0](value)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def decode_image(value: bytes | bytearray) -> Any:
    """Decode an image into a `PIL.Image`, in the mode that it has."""
    try:
        from PIL import Image
    except ImportError as error:
        raise RequestError("images need Pillow on the server", status=415) from error
    try:
        image = Image.open(io.BytesIO(value))
        image.load()
    except Exception as error:
        raise ValueError("the image cannot be decoded") from error
    return image


def unchanged(value: bytes | bytearray) -> bytes:
    """Leave what stays bytes as it is; TorchServe reads it into a bytearray."""
    return bytes(value)


DECODERS: Sequence[tuple[Sequence[str], Callable[[Any], Any]]] = (
    (("/",), decode_untyped),
    (("application/json", "application/*+json"), decode_json),
    (("text/*",), lambda value: value.decode()),
    (("image/*",), decode_image),
    (NPY, decode_npy),
    (SAFETENSORS, decode_safetensors),
    (("application/octet-stream", "audio/*", "video/*"), unchanged),
)
