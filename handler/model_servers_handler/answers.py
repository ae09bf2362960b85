"""Answers: from results to the bytes, status and type that clients get; pure."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from model_servers_handler.errors import Failure
from model_servers_handler.formats import (
    NPY,
    SAFETENSORS,
    encode_npy,
    encode_safetensors,
)
from model_servers_handler.json_text import json_codec, json_default
from model_servers_handler.tensors import is_tensor


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's encoded result."""

    body: bytes
    content_type: str


def send(answer: Answer | Failure, context: Any, index: int) -> bytes:
    """Set status and content type of one answer, and give its body.

    The reason phrase is fixed by the status: one with a line break in it, such as
    an exception's text, would end the worker (netty refuses it).
    """
    if isinstance(answer, Failure):
        phrase = HTTPStatus(answer.status).phrase
        context.set_response_status(answer.status, phrase, index)
        told = {"code": answer.status, "type": answer.kind, "message": answer.message}
        answer = Answer(json.dumps(told).encode(), "application/json")
    context.set_response_content_type(index, answer.content_type)
    return answer.body


def encode(value: Any, accept: str) -> Answer:
    """Encode a result as its client accepts it, by default as compact JSON.

    Bytes and text are sent as they are.

    Raises:
        TypeError: JSON has nothing for it.
        RequestError: 406, it cannot be what the client accepts.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Answer(bytes(value), "application/octet-stream")
    if isinstance(value, str):
        return Answer(value.encode(), "text/plain; charset=utf-8")
    media_type, encoder = binary_form(accept)
    if encoder is not None:
        return Answer(encoder(value), media_type)
    plain = json_default(value) if is_tensor(value) else value
    return Answer(json_codec()[1](plain), "application/json")


@functools.lru_cache(maxsize=64)
def binary_form(accept: str) -> tuple[str, Callable[[Any], bytes] | None]:
    """Find the media type beside JSON that a client accepts, and its encoder."""
    for media_types, encoder in ((NPY, encode_npy), (SAFETENSORS, encode_safetensors)):
        for media_type in media_types:
            if media_type in accept:
                return media_type, encoder
    return "", None
