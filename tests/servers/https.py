"""An https server on loopback, with a certificate that its clients can trust."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from servers.answering import answering

Answers = Mapping[str, "bytes | str | int | Shaky"]
"""By path: the body, where to redirect to, or a status of an error."""


@dataclass(kw_only=True)
class Shaky:
    """A file whose server knows ranges, or not, and gives up in the middle."""

    body: bytes
    tag: str = '"1"'
    """Its ETag."""

    knows_ranges: bool = True
    cut_after: int = 2**60
    """So many bytes come with each answer before the connection ends."""

    hangs_after: int = 2**60
    """So many bytes come with each answer, and then nothing until the client goes."""

    garbles_after: deque[int] = field(default_factory=deque)
    """So many bytes come with each of the next answers, and then what is no TLS."""

    refusals: deque[int] = field(default_factory=deque)
    """The statuses of the next answers; 0 is a connection that is reset."""

    asked: list[str | None] = field(default_factory=list)
    """The ``Range`` of each request."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer as RFC 9110 says of ``Range`` and ``If-Range``, and then give up."""
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if self.refusals:
            _refuse(request, self.refusals.popleft())
            return
        is_same = request.headers.get("If-Range", self.tag) == self.tag
        start, whole = 0, len(self.body)
        if wanted and is_same and self.knows_ranges:
            start = int(wanted[6:].partition("-")[0])
        request.send_response(206 if start else 200)
        request.send_header("ETag", self.tag)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        request.send_header("Content-Length", str(whole - start))
        request.end_headers()
        least = min(self.cut_after, self.hangs_after, *list(self.garbles_after)[:1])
        request.wfile.write(self.body[start : start + least])
        if self.garbles_after:
            self.garbles_after.popleft()
            os.write(request.connection.fileno(), b"this is no TLS")
        if start + self.hangs_after < whole:
            request.connection.recv(1)


def _refuse(request: BaseHTTPRequestHandler, status: int) -> None:
    if status:
        request.send_error(status)
    else:
        at_once = struct.pack("ii", 1, 0)
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


@contextmanager
def https(folder: Path, answers: Answers) -> Iterator[tuple[str, Path]]:
    """Serve; give the host with its port, and the certificate to trust."""
    certificate, key = _certificate(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path, 404)
            if isinstance(answer, str):
                self.send_response(302)
                self.send_header("Location", answer)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif isinstance(answer, Shaky):
                answer.answer(self)
            elif isinstance(answer, int):
                self.send_error(answer)
            else:
                self.send_response(200)
                # A body that is announced and does not come is cut off.
                cut = self.path.endswith(".cut")
                self.send_header("Content-Length", str(len(answer) + cut))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with answering(server):
        yield f"localhost:{server.server_port}", certificate


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "localhost.crt", folder / "localhost.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
