"""Ceph's radosgw, an S3 server that checks signatures, run without root.

A cluster of three processes (monitor, object store, radosgw) lives in one
folder, listens on the loopback interface only and is thrown away after use.
``.ci/install-radosgw`` installs the programs; nothing in ``/etc/ceph`` or
``/var/lib/ceph`` is read or written.

What differs from S3 (16.2): CompleteMultipartUpload ignores ``If-None-Match``,
``If-Match`` wants the ETag without quotes, checksums other than Content-MD5 and
the signed payload are neither kept nor checked.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from servers.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    _Processes = Mapping[str, subprocess.Popen[bytes]]

START_TIMEOUT_S = 120.0

_PROGRAMS = (
    "ceph-mon",
    "ceph-osd",
    "monmaptool",
    "radosgw",
    "radosgw-admin",
    "setpriv",
)
_POLL_INTERVAL_S = 0.02
_LOG_TAIL_LINES = 40

# The file is sparse: it takes only what the tests write. A full store does not
# refuse writes, it lets them hang, so it is far larger than any test needs.
_STORE_SIZE_BYTES = 64 * 2**30

_CONFIG = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
# Nobody else reaches the loopback interface of a test machine. Method "none"
# cannot encrypt, and radosgw otherwise insists on it towards the monitor.
auth cluster required = none
auth service required = none
auth client required = none
ms mon cluster mode = crc
ms mon service mode = crc
ms mon client mode = crc
# No admin sockets: their paths may have 107 bytes, pytest's are longer.
admin socket =
run dir = {folder}
crash dir = {folder}
keyring = {folder}/keyring
log to file = false
log to stderr = true
mon cluster log to file = false
debug rocksdb = 0
# One copy on one store.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
rgw rados pool pg num min = 8
# Start as fast as possible: by default a client that came too early looks again
# after 3 s (monitor) and 5 s (object store), and a change of the cluster map
# waits for others to join it.
mon client hunt interval = 0.2
objecter tick interval = 0.1
paxos propose interval = 0.01
paxos min wait = 0.01

[mon]
mon data = {folder}/mon
mon data avail warn = 1
mon data avail crit = 0

[osd]
osd data = {folder}/osd
osd journal = {folder}/osd/journal
osd objectstore = bluestore
osd crush initial weight = 1
crush location = root=default host=loopback
osd memory target = 1073741824
bluestore block size = {store_size_bytes}
bluestore fsck on mkfs = false
# Each of the dozen times the store closes its file waits for this long.
bdev aio poll ms = 10

[client]
rgw data = {folder}/rgw
# Without tcp_nodelay, 21 instead of 254 small GETs per second.
rgw frontends = beast endpoint=127.0.0.1:{s3_port} tcp_nodelay=1
# Deleted data would stay for two hours.
rgw gc obj min wait = 5
rgw gc processor period = 5
"""


def why_not() -> str | None:
    """Tell why radosgw cannot run here, or give None where it can."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not missing:
        return None
    return f"{', '.join(missing)} not found; run .ci/install-radosgw"


@contextmanager
def radosgw(
    folder: Path,
    *,
    access_key: str = "radosgw-access-key",
    secret_key: str = "radosgw-secret-key",
) -> Iterator[S3Server]:
    """Run an empty S3 server with one user, who may make buckets.

    Every process is gone afterwards, however the block ends, and also when this
    process is killed. For the latter, the thread that enters has to live as long
    as the server: Linux kills the daemons when that thread ends.

    Args:
        folder: made if missing; must not hold a server already. The logs stay
            in it, one for each process, and the data does not.

    Raises:
        RuntimeError: a process ended early, or the server gave no answer within
            ``START_TIMEOUT_S``; with the end of the logs.
    """
    deadline_s = time.monotonic() + START_TIMEOUT_S
    cluster = _Cluster(folder=folder.resolve(), deadline_s=deadline_s)
    with cluster.data(), _reserved_port() as mon_port, _reserved_port() as s3_port:
        cluster.configure(mon_port=mon_port, s3_port=s3_port)
        with cluster.daemons() as daemons:
            cluster.wait_until_it_answers(s3_port, daemons)
            cluster.add_user(access_key, secret_key)
            yield S3Server(
                endpoint_url=f"http://127.0.0.1:{s3_port}",
                access_key=access_key,
                secret_key=secret_key,
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cluster:
    folder: Path
    deadline_s: float
    """When the start has to be over, on the monotonic clock."""

    @contextmanager
    def data(self) -> Iterator[None]:
        """Make the folders of the daemons, and remove them in the end."""
        parts = [self.folder / part for part in ("mon", "osd", "rgw")]
        for part in parts:
            part.mkdir(parents=True)
        try:
            yield
        finally:
            for part in parts:
                shutil.rmtree(part)

    def configure(self, *, mon_port: int, s3_port: int) -> None:
        """Write the configuration, and format monitor and object store."""
        config = _CONFIG.format(
            folder=self.folder,
            fsid=uuid.uuid4(),
            mon_port=mon_port,
            s3_port=s3_port,
            store_size_bytes=_STORE_SIZE_BYTES,
        )
        self._file("ceph.conf").write_text(config, encoding="utf-8")
        monmap = str(self._file("monmap"))
        address = f"v2:127.0.0.1:{mon_port}"
        self._run("monmap", "monmaptool", "--create", "--addv", "a", address, monmap)
        self._run("mon-mkfs", "ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._run("osd-mkfs", "ceph-osd", "--mkfs", "-i", "0", "--no-mon-config")

    @contextmanager
    def daemons(self) -> Iterator[_Processes]:
        """Run the three daemons; they find each other in whatever order.

        The object store enters itself into the cluster map and radosgw makes
        its pools, so there is nothing to do for the slow ``ceph`` command.
        """
        with (
            self._process("mon", "ceph-mon", "-f", "-i", "a") as mon,
            self._process("osd", "ceph-osd", "-f", "-i", "0") as osd,
            self._process("rgw", "radosgw", "-f", "-n", "client.rgw") as rgw,
        ):
            yield {"mon": mon, "osd": osd, "rgw": rgw}

    def wait_until_it_answers(self, s3_port: int, daemons: _Processes) -> None:
        while not _answers(s3_port):
            for name, process in daemons.items():
                if process.poll() is not None:
                    raise self._failure(f"{name} ended: {process.returncode}", name)
            if time.monotonic() > self.deadline_s:
                raise self._failure(f"no answer in {START_TIMEOUT_S:g} s", *daemons)
            time.sleep(_POLL_INTERVAL_S)

    def add_user(self, access_key: str, secret_key: str) -> None:
        keys = (f"--access-key={access_key}", f"--secret-key={secret_key}")
        named = ("--uid=tests", "--display-name=tests")
        self._run("user", "radosgw-admin", "user", "create", *named, *keys)

    def _run(self, name: str, program: str, *arguments: str) -> None:
        with self._process(name, program, *arguments) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, self.deadline_s - time.monotonic()))
            status = process.poll()
        if status is None:
            raise self._failure(f"{name} did not end in {START_TIMEOUT_S:g} s", name)
        if status != 0:
            raise self._failure(f"{name} ended with status {status}", name)

    @contextmanager
    def _process(
        self, name: str, program: str, *arguments: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program, and kill it in the end: its data is thrown away."""
        with (
            self._log(name).open("wb") as log,
            subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", program),
                    *("--conf", str(self._file("ceph.conf")), *arguments),
                ],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()
                process.wait()  # Popen itself waits only briefly after Ctrl-C

    def _failure(self, what: str, *names: str) -> RuntimeError:
        return RuntimeError("\n".join([what, *map(self._log_tail, names)]))

    def _log_tail(self, name: str) -> str:
        text = self._log(name).read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line]
        return "\n".join([f"--- {name}.log", *lines[-_LOG_TAIL_LINES:]])

    def _log(self, name: str) -> Path:
        return self._file(f"{name}.log")

    def _file(self, name: str) -> Path:
        return self.folder / name


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Keep a free port from everybody but a listener with SO_REUSEADDR.

    All daemons of Ceph listen so. Linux lets them have a port that is bound with
    SO_REUSEADDR as long as nobody listens at it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _environment() -> dict[str, str]:
    # CEPH_ARGS and CEPH_CONF would add settings of another cluster.
    return {
        name: value for name, value in os.environ.items() if not name.startswith("CEPH")
    }


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
