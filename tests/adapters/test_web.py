"""Files from the web: what has come is not asked for again, what fails is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_servers.adapters import web
from model_servers.core.objects import Begun
from model_servers.errors import OutsideError
from servers.https import Answers, Shaky, https

BODY = bytes(range(256)) * 64

Serve = Callable[[Answers], str]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve answers by their paths, and give the URL of the host."""
    answers: dict[str, bytes | str | int | Shaky] = {}
    with https(tmp_path, answers) as (host, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

        def serve(wanted: Answers) -> str:
            answers.update(wanted)
            return f"https://{host}"

        yield serve


def fetched(url: str, here: bytes = b"", tag: str = "") -> bytes:
    """Read what is missing, and give the whole."""
    for chunk in web.read(url, lambda url: None, Begun(len(here), tag)):
        assert chunk.offset in (0, len(here))
        here = here[: chunk.offset] + chunk.data
    return here


def test_what_is_cut_off_goes_on_from_there(serve: Serve) -> None:
    file = Shaky(body=BODY, cut_after=len(BODY) // 3)

    assert fetched(f"{serve({'/file': file})}/file") == BODY
    assert file.asked[0] is None
    assert len(file.asked) > 2
    assert all(wanted and wanted.startswith("bytes=") for wanted in file.asked[1:])


def test_an_earlier_run_is_gone_on_with(serve: Serve) -> None:
    file = Shaky(body=BODY)

    assert fetched(f"{serve({'/file': file})}/file", BODY[:1000], '"1"') == BODY
    assert file.asked == ["bytes=1000-"]


@pytest.mark.parametrize(
    ("here", "tag"),
    [
        pytest.param(b"x" * 1000, '"0"', id="another version"),
        pytest.param(b"x" * 1000, "", id="a version that nobody named"),
        pytest.param(b"x" * 1000, '"1"\r\nX: y', id="a name that is none"),
        pytest.param(b"x" * 1000, 'W/"1"', id="a weak name"),
    ],
)
def test_another_file_is_read_from_its_start(
    serve: Serve, here: bytes, tag: str
) -> None:
    url = serve({"/file": Shaky(body=BODY)})

    assert fetched(f"{url}/file", here, tag) == BODY


def test_a_file_that_has_become_shorter_is_read_from_its_start(serve: Serve) -> None:
    file = Shaky(body=BODY, refusals=deque([416]))

    url = serve({"/file": file})

    assert fetched(f"{url}/file", BODY + b"more", '"1"') == BODY
    assert file.asked == [f"bytes={len(BODY) + 4}-", None]


def test_a_server_without_ranges_is_read_from_the_start(serve: Serve) -> None:
    file = Shaky(body=BODY, knows_ranges=False)

    assert fetched(f"{serve({'/file': file})}/file", BODY[:1000], '"1"') == BODY


def test_a_server_that_always_ends_at_the_same_place_is_given_up(serve: Serve) -> None:
    file = Shaky(body=BODY, knows_ranges=False, cut_after=1000)
    url = serve({"/file": file})

    with pytest.raises(OutsideError, match="cannot be read") as caught:
        fetched(f"{url}/file")

    assert caught.value.hint
    assert len(file.asked) == 5


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_or_resets_is_asked_again(
    serve: Serve, status: int
) -> None:
    file = Shaky(body=BODY, refusals=deque([status, status]))

    assert fetched(f"{serve({'/file': file})}/file") == BODY


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_will_not_change_is_asked_once(serve: Serve, status: int) -> None:
    file = Shaky(body=BODY, refusals=deque([status]))
    url = serve({"/file": file})

    with pytest.raises(OutsideError, match=f"answers {status}"):
        fetched(f"{url}/file")

    assert len(file.asked) == 1


def test_a_redirect_keeps_the_range(serve: Serve) -> None:
    file = Shaky(body=BODY)
    url = serve({"/file": file, "/moved": "/file"})

    assert fetched(f"{url}/moved", BODY[:1000], '"1"') == BODY
    assert file.asked == ["bytes=1000-"]


def test_a_certificate_that_is_not_trusted_is_not_tried_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Shaky(body=BODY)
    url = serve({"/file": file})
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(OutsideError, match="certificate verify failed"):
        fetched(f"{url}/file")

    assert file.asked == []
