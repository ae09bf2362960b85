"""Files behind https URLs; every redirect is asked about before it is followed."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import IO

from model_servers.errors import OutsideError, RefusedError

_CHUNK_BYTES = 2**20
_TIMEOUT_S = 60.0
_HEADERS = {"User-Agent": "model-servers"}

WhyNot = Callable[[str], str | None]


def read(url: str, why_not: WhyNot) -> Iterator[bytes]:
    """Yield the bytes behind a URL.

    Args:
        url: of a file.
        why_not: says why a URL must not be opened, or None if it may be.

    Raises:
        RefusedError: it, or one that it redirects to, must not be opened.
        OutsideError: it cannot be read, or ends early.
    """
    _refuse(url, why_not)
    # No handler for http: or file:, whatever a redirect says.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(why_not),
    ):
        opener.add_handler(handler)
    # The opener knows https alone.
    request = urllib.request.Request(url, headers=_HEADERS)  # noqa: S310 - see above
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                yield chunk
            if answer.length:  # what is still to come, when nothing comes any more
                raise http.client.IncompleteRead(b"", answer.length)
    except urllib.error.HTTPError as error:
        raise OutsideError(
            f"{url} answers {error.code} {error.reason}",
            hint="correct checkpoint.uri, or try again later",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise OutsideError(
            f"{url} cannot be read: {reason}", hint="try again later"
        ) from error


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
