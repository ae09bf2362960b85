"""Files behind https URLs; every redirect is asked about before it is followed."""

from __future__ import annotations

import http.client
import random
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http import HTTPStatus
from typing import IO

from model_servers.core.objects import Begun, Chunk
from model_servers.errors import OutsideError, RefusedError

_CHUNK_BYTES = 2**20
_TIMEOUT_S = 60.0
_HEADERS = {"User-Agent": "model-servers"}

_TRIES = 5
"""In a row, in which nothing new came."""

_LONGEST_WAIT_S = 8.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed."""

_PASSING_ERRORS = (
    ConnectionError,
    TimeoutError,
    http.client.HTTPException,
    ssl.SSLError,
)
_LASTING_ERRORS = (
    ssl.SSLCertVerificationError,
    http.client.InvalidURL,
    socket.gaierror,
)

_TAG = re.compile(r'"[\x21\x23-\x7e]*"|[A-Za-z0-9,: ]{1,40}')
"""A strong ETag, or a date: what an ``If-Range`` may say (RFC 9110, 13.1.5)."""

WhyNot = Callable[[str], str | None]


def read(url: str, why_not: WhyNot, begun: Begun) -> Iterator[Chunk]:
    """Yield the bytes behind a URL that have not come yet.

    What fails on its way is asked for again, from where it ended. A server that knows
    no ranges, or has another file by now, is read from the start.

    Args:
        url: of a file.
        why_not: says why a URL must not be opened, or None if it may be.
        begun: what an earlier run has, and the tag that came with it.

    Raises:
        RefusedError: it, or one that it redirects to, must not be opened.
        OutsideError: it cannot be read, or ends early, however often it is asked.
    """
    _refuse(url, why_not)
    opener = _opener(why_not)
    done = furthest = begun.length
    tag, failures = begun.tag, 0
    while True:
        try:
            for chunk in _answer(opener, url, Begun(done, tag)):
                yield chunk
                done, tag = chunk.offset + len(chunk.data), chunk.tag
        except (OSError, http.client.HTTPException) as error:
            failures = 1 if done > furthest else failures + 1
            furthest = max(done, furthest)
            if _is_behind_the_end(error) and tag:
                tag = ""  # the file is shorter by now: from the start
            elif failures == _TRIES or not _may_pass(error):
                raise _explained(url, error) from error
            longest_s = min(_LONGEST_WAIT_S, 2**failures / 8)
            time.sleep(random.uniform(0, longest_s))  # noqa: S311 - no secret
        else:
            return


def _answer(
    opener: urllib.request.OpenerDirector, url: str, begun: Begun
) -> Iterator[Chunk]:
    """Ask once, for what is missing if the server can tell that it is the same file."""
    headers = dict(_HEADERS)
    if begun.length and _TAG.fullmatch(begun.tag):
        headers |= {"Range": f"bytes={begun.length}-", "If-Range": begun.tag}
    # The opener knows https alone.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - see above
    with opener.open(request, timeout=_TIMEOUT_S) as answer:
        is_rest = answer.status == HTTPStatus.PARTIAL_CONTENT
        offset = begun.length if is_rest else 0
        _check_start(answer.headers, offset)
        tag = _tag(answer.headers)
        while data := answer.read(_CHUNK_BYTES):
            yield Chunk(offset, data, tag)
            offset += len(data)
        if answer.length:  # what is still to come, when nothing comes any more
            raise http.client.IncompleteRead(b"", answer.length)


def _opener(why_not: WhyNot) -> urllib.request.OpenerDirector:
    """Give an opener without a handler for http: or file:, whatever a redirect says."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(why_not),
    ):
        opener.add_handler(handler)
    return opener


def _check_start(headers: Message, offset: int) -> None:
    """Look whether a server that gives a part gives the one that it was asked for."""
    found = headers.get("Content-Range", f"bytes {offset}-")
    if offset and not found.startswith(f"bytes {offset}-"):
        raise http.client.HTTPException(f"it gave {found!r}, asked from byte {offset}")


def _tag(headers: Message) -> str:
    """Give what the server calls this version of the file; empty if nothing usable."""
    for name in ("ETag", "Last-Modified"):
        found = headers.get(name, "")
        if _TAG.fullmatch(found):
            return str(found)
    return ""


def _may_pass(error: Exception) -> bool:
    """Say whether the same request may succeed a little later."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _PASSING
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    is_lasting = isinstance(cause, _LASTING_ERRORS)
    return isinstance(cause, _PASSING_ERRORS) and not is_lasting


def _is_behind_the_end(error: Exception) -> bool:
    return (
        isinstance(error, urllib.error.HTTPError)
        and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    )


def _explained(url: str, error: Exception) -> OutsideError:
    if isinstance(error, urllib.error.HTTPError):
        return OutsideError(
            f"{url} answers {error.code} {error.reason}",
            hint="correct checkpoint.uri, or try again later",
        )
    reason = getattr(error, "reason", None) or error
    return OutsideError(
        f"{url} cannot be read: {reason}",
        hint="try again later; it goes on where it stopped",
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, why_not: WhyNot) -> None:
        self._why_not = why_not

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _refuse(newurl, self._why_not)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse(url: str, why_not: WhyNot) -> None:
    reason = why_not(url)
    if reason is not None:
        raise RefusedError(
            f"the weights are not fetched: {reason}",
            hint="MODEL_SERVERS_CHECKPOINT_HOSTS names the hosts that are trusted",
        )
