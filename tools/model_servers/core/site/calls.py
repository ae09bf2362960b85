"""Golden cases as commands that anybody can paste: the very request that is tested."""

from __future__ import annotations

import json
import shlex

from model_servers.core.golden import GoldenCase, Request
from model_servers.core.site.pages import Example
from model_servers.core.site.shapes import shape
from model_servers.core.site.words import plain

_INLINE_MAX_BYTES = 1500
"""A longer body is a file to download."""

_ANSWER_MAX_CHARACTERS = 4000
_LINE_CHARACTERS = 80
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
}


def example(name: str, case: GoldenCase, *, is_recorded: bool = True) -> Example:
    """Make the example of a golden case.

    Args:
        name: of the model.
        case: what is asked and answered.
        is_recorded: the case says what the answer is.
    """
    request = case.request
    file = f"{_file_stem(case.name)}.{ending(request.body)}"
    url = f"http://localhost:8080/predictions/{name}"
    return Example(
        case=plain(case.name),
        content_type=request.content_type,
        body=request.body,
        file=file,
        is_inline=_inline(request.body) is not None,
        request=_told(request),
        answer=_answer(case.expected) if is_recorded else "",
        answer_shape=plain(shape(case.expected)) if is_recorded else "",
        curl=_curl(url, request, file),
        python=_python(url, request, file),
    )


def picture_ending(body: bytes) -> str | None:
    """Say what kind of picture some bytes are; None if none that browsers show.

    SVG is none: opened by itself, it can run script.
    """
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "webp"
    kinds = (kind for start, kind in _PICTURES.items() if body.startswith(start))
    return next(kinds, None)


def ending(body: bytes) -> str:
    """Choose a file's ending that no server takes for a page, whatever is in it."""
    return picture_ending(body) or ("json" if _is_json(body) else "bin")


def _file_stem(case: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in case)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _told(request: Request) -> str:
    if request.content_type.startswith("application/json") and _is_json(request.body):
        return plain(shape(json.loads(request.body)))
    return f"{request.content_type}, {len(request.body):,} bytes"


def _answer(expected: object) -> str:
    text = json.dumps(expected, ensure_ascii=False)
    if len(text) > _LINE_CHARACTERS and isinstance(expected, dict):
        lines = [
            f"  {json.dumps(key, ensure_ascii=False)}:"
            f" {json.dumps(value, ensure_ascii=False)}"
            for key, value in expected.items()
        ]
        text = "{\n" + ",\n".join(lines) + "\n}"
    is_short = len(text) <= _ANSWER_MAX_CHARACTERS
    return plain(text if is_short else f"{text[:_ANSWER_MAX_CHARACTERS]}…")


def _inline(body: bytes) -> str | None:
    """Give a short body that a shell and a page leave as it is; else None."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    is_short = len(body) <= _INLINE_MAX_BYTES
    return text if is_short and plain(text) == text else None


def _curl(url: str, request: Request, file: str) -> str:
    text = _inline(request.body)
    # --data-raw, because --data takes a leading @ for a file's name.
    data = f"--data-binary @{file}"
    if text is not None:
        data = f"--data-raw {shlex.quote(text)}"
    header = shlex.quote(f"Content-Type: {request.content_type}")
    return f"curl {url} \\\n  -H {header} \\\n  {data}"


def _python(url: str, request: Request, file: str) -> str:
    text = _inline(request.body)
    data = f'open("{file}", "rb").read()' if text is None else repr(request.body)
    return f"""\
from urllib.request import Request, urlopen

request = Request(
    "{url}",
    data={data},
    headers={{"Content-Type": {json.dumps(request.content_type)}}},
)
print(urlopen(request).read().decode())"""
