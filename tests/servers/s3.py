"""What a test needs to know of an S3 server, and moto as the quickest one."""

from __future__ import annotations

import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Server:
    """Where an S3 server answers and who may use it."""

    endpoint_url: str
    """Plain HTTP on the loopback interface, no trailing slash."""
    access_key: str
    secret_key: str


@contextmanager
def moto() -> Iterator[S3Server]:
    """Run moto in this process on a free port of the loopback interface.

    moto accepts every key, keeps no checksums and reads the whole object for
    each ranged GET, so give it small files. All moto servers of one process
    share their buckets; the buckets are gone after this one has stopped.
    """
    # Half a second that only tests with this server should wait for.
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - see above

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint_url = f"http://{host}:{port}"
    try:
        yield S3Server(
            endpoint_url=endpoint_url,
            access_key="moto-access-key",
            secret_key="moto-secret-key",
        )
    finally:
        _forget_everything(endpoint_url)
        server.stop()


def _forget_everything(endpoint_url: str) -> None:
    reset = urllib.request.Request(f"{endpoint_url}/moto-api/reset", method="POST")
    with urllib.request.urlopen(reset, timeout=10):
        pass
