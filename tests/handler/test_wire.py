"""The worker's socket is read ahead, and gives what TorchServe's own reader gives."""

import importlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_servers_handler import wire

OWN = "ts.protocol.otf_message_handler"
FIELDS = st.tuples(
    st.sampled_from(["body", "data", "wörd"]),
    st.sampled_from(["application/json", "text/plain", ""]),
    st.one_of(st.binary(max_size=40), st.just(b"\xff" * 300_000)),
)
REQUESTS = st.tuples(
    st.binary(max_size=40).map(bytes.hex),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=3),
    st.lists(FIELDS, max_size=3),
)


class Connection:
    """A socket on which bytes come in parts of these sizes, over and over."""

    def __init__(self, content, sizes=(10**9,)):
        self.content, self.sizes = content, list(sizes)
        self.at = self.asked = 0

    def recv(self, most):
        size = self.sizes[self.asked % len(self.sizes)]
        self.asked += 1
        part = self.content[self.at : self.at + min(most, size)]
        self.at += len(part)
        return part


def field(content):
    return struct.pack("!i", len(content)) + content


def message(requests):
    """Write a batch as TorchServe's frontend does."""
    end = struct.pack("!i", -1)
    content = b"I"
    for request_id, headers, fields in requests:
        content += field(request_id.encode())
        for pair in headers:
            content += b"".join(field(text.encode()) for text in pair)
        content += end
        for name, content_type, value in fields:
            content += field(name.encode()) + field(content_type.encode())
            content += field(value)
        content += end
    return content + end


LOAD = (
    b"L"
    + field(b"digits")
    + field(b"/models/digits")
    + struct.pack("!i", 8)
    + field(b"base_handler:handle")
    + struct.pack("!i", 3)
    + field(b"")
    + b"\x01"
)


@pytest.fixture
def protocol(monkeypatch):
    """TorchServe's own reader, as it was before and after the test."""
    module = importlib.import_module(OWN)
    for name in ("_retrieve_buffer", "_retrieve_inference_msg"):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    return module


def plain(value):
    """Give a message with bytes where one reader has bytes and one has bytearrays."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return bytes(value) if isinstance(value, bytearray) else value


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.lists(REQUESTS, max_size=3), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 100_000), min_size=1, max_size=4),
)
def test_both_readers_give_the_same_messages_however_the_bytes_come(batches, sizes):
    module = importlib.import_module(OWN)
    content = LOAD + b"".join(map(message, batches)) + LOAD
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TS_DECODE_INPUT_REQUEST", "false")
        for name in ("_retrieve_buffer", "_retrieve_inference_msg"):
            patch.setattr(module, name, getattr(module, name))
        own = Connection(content)
        expected = [module.retrieve_msg(own) for _ in range(len(batches) + 2)]
        assert wire.read_ahead()
        ahead = Connection(content, sizes)

        found = [module.retrieve_msg(ahead) for _ in range(len(batches) + 2)]

    assert plain(found) == plain(expected)


def test_a_batch_that_has_arrived_is_read_at_once(protocol):
    wire.read_ahead()
    request = ("id", [("Host", "localhost")] * 5, [("body", "text/plain", b"1")])
    connection = Connection(message([request] * 8))

    _, batch = protocol.retrieve_msg(connection)

    assert len(batch) == 8
    assert connection.asked == 1


def test_the_worker_ends_quietly_with_its_frontend(protocol):
    wire.read_ahead()

    with pytest.raises(SystemExit) as end:
        protocol.retrieve_msg(Connection(message([("id", [], [])])[:-6]))

    assert end.value.code == 0


def test_another_connection_starts_afresh(protocol):
    wire.read_ahead()
    with pytest.raises(SystemExit):
        protocol.retrieve_msg(Connection(LOAD[:-1]))

    assert protocol.retrieve_msg(Connection(LOAD))[0] == b"L"


@pytest.mark.parametrize("version", ["0.11.1", "0.12.1", ""])
def test_an_unknown_torchserve_is_left_alone(protocol, monkeypatch, version):
    monkeypatch.setattr("ts.__version__", version)
    before = dict(vars(protocol))

    assert not wire.read_ahead()

    assert dict(vars(protocol)) == before


def test_without_torchserve_nothing_is_changed(monkeypatch):
    monkeypatch.delitem(wire.sys.modules, OWN, raising=False)

    assert not wire.read_ahead()
