"""The commands of a page send the very request of the golden case."""

import json
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model_servers.core.golden import GoldenCase, Request
from model_servers.core.site.calls import ending, example
from servers.answering import answering

BODIES = [
    b"[1, 2.5]",
    b"@/etc/passwd",
    b'it\'s "$HOME" `id` \\n \\',
    b"line\nline\n",
    "日本 é".encode(),
    b"\x89PNG\r\n\x1a\n\x00\xff",
    b"x" * 5000,
    b"\x1b[2J",
    b"-d @x",
    b"",
]


@pytest.fixture
def heard():
    """What a server on the loopback interface has been asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"42")

        def log_message(self, *_):
            pass

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server):
        yield asked, f"http://127.0.0.1:{server.server_port}"


def made(body, content_type="text/plain"):
    case = GoldenCase(
        name="a case",
        request=Request(content_type=content_type, body=body),
        expected={"answer": 42},
        tolerance={},
    )
    return example("digits", case)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("language", ["curl", "python"])
def test_what_is_pasted_is_what_is_tested(tmp_path, heard, body, language):
    asked, address = heard
    one = made(body, "text/plain; charset='utf-8'")
    (tmp_path / one.file).write_bytes(body)
    text = getattr(one, language).replace("http://localhost:8080", address)
    run = {"curl": ["/bin/sh", "-ec", text], "python": [sys.executable, "-c", text]}
    assert language != "curl" or shutil.which("curl"), "install curl"

    done = subprocess.run(
        run[language], check=False, cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "42"
    assert asked == [("/predictions/digits", "text/plain; charset='utf-8'", body)]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"a": 1}', "json"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"<html><script>1</script>", "bin"),
        (b"<svg onload='x'/>", "bin"),
        (b"GIF is a format", "bin"),
    ],
)
def test_a_body_is_never_saved_as_something_that_runs(body, wanted):
    assert ending(body) == wanted


def test_an_answer_is_shown_as_json_a_line_for_each_key():
    case = GoldenCase(
        name="case",
        request=Request(content_type="application/json", body=b"[]"),
        expected={"digit": 5, "probabilities": [0.125] * 20},
        tolerance={},
    )

    answer = example("digits", case).answer

    assert json.loads(answer) == case.expected
    assert len(answer.splitlines()) == 4
