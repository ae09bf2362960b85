"""A host profile that cannot be used, and an address that is something else's."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from model_servers.cli.main import main
from servers.answering import answering


@pytest.fixture
def status(tmp_path, capsys):
    """Run ``ms sync status`` with a profile: exit status, stdout and stderr."""
    path = tmp_path / "sync.yaml"

    def run(content=None, **torchserve):
        (tmp_path / "model_store").mkdir(exist_ok=True)
        profile = {
            "schema": 1,
            "store": (tmp_path / "store").as_uri(),
            "model_store": str(tmp_path / "model_store"),
            "torchserve": torchserve,
            "models": {"snake": "latest"},
        }
        path.write_bytes(content or json.dumps(profile).encode())
        ended = main(["sync", "status", "--profile", str(path)])
        captured = capsys.readouterr()
        return ended, captured.out, captured.err.replace(str(path), "sync.yaml")

    return run


@pytest.fixture
def elsewhere():
    """A server that is no TorchServe."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.server.page is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.page)

        def log_message(self, *_):
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Nothing)
    with answering(server):
        server.page = None
        yield server


def test_a_profile_in_another_encoding_says_how_to_save_it(status):
    ended, _, err = status(b"# caf\xe9\nschema: 1\n")

    assert ended == 2
    assert err == (
        "ms: the host profile sync.yaml cannot be read: byte 5 is not UTF-8\n"
        "hint: save the file as UTF-8\n"
    )


def test_a_profile_that_is_a_directory_is_told_as_one(tmp_path, capsys):
    assert main(["sync", "status", "--profile", str(tmp_path)]) == 2

    assert capsys.readouterr().err == (
        f"ms: the host profile {tmp_path} cannot be read: Is a directory\n"
        "hint: correct its permissions, or name another with --profile\n"
    )


def test_an_address_whose_port_is_no_number_is_refused(status):
    ended, _, err = status(management="http://127.0.0.1:http")

    assert ended == 2
    assert "sync.yaml:1:" in err
    assert ": torchserve.management: MS002 found " in err


def test_another_server_in_the_place_of_torchserve_is_told_as_such(status, elsewhere):
    address = f"http://127.0.0.1:{elsewhere.server_port}"

    ended, _, err = status(management=address)

    assert ended == 3
    assert err == (
        "ms: the models cannot be listed: nothing is known as "
        f"/models?limit=100&next_page_token=0 at {address}\n"
        "hint: correct torchserve.management in the host profile; something else "
        "answers at that address\n"
    )


def test_a_page_in_the_place_of_torchserves_answer_is_told_as_such(status, elsewhere):
    elsewhere.page = b"<html>hello</html>"

    ended, _, err = status(management=f"http://127.0.0.1:{elsewhere.server_port}")

    assert ended == 3
    assert err == (
        "ms: TorchServe answered /models?limit=100&next_page_token=0 with no JSON\n"
        "hint: correct torchserve.management in the host profile; something else "
        "answers at that address\n"
    )
