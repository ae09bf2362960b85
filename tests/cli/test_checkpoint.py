"""Weights that are not in git: stored, declared, fetched, verified, kept."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from model_servers.cli.main import main
from servers.https import Shaky, https
from servers.s3 import S3Server
from zoo import CHECKPOINT, make_model

Run = Callable[..., tuple[int, str, str]]
TOOLS = Path(__file__).parents[2] / "tools"
SHA256 = hashlib.sha256(CHECKPOINT).hexdigest()
DECLARED = {"sha256": SHA256, "size": len(CHECKPOINT)}
OTHER = CHECKPOINT[:-1] + b"?"


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setenv("MODEL_SERVERS_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(arguments))
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def answers() -> dict[str, bytes | str | int | Shaky]:
    """What the trusted host answers, by path."""
    return {
        "/weights.pt": CHECKPOINT,
        "/other.pt": OTHER,
        "/short.pt": CHECKPOINT[:-1],
        "/long.pt": CHECKPOINT * 2,
        "/weights.cut": CHECKPOINT[:-1],
        "/moved.pt": "/weights.pt",
        "/away.pt": "https://elsewhere.test/weights.pt",
        "/plain.pt": "http://localhost:1/weights.pt",
        "/file.pt": "file:///etc/passwd",
        "/broken.pt": 503,
    }


@pytest.fixture
def web(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, bytes | str | int | Shaky],
) -> Iterator[str]:
    """A trusted host; gives its URL."""
    with https(tmp_path, answers) as (host, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        monkeypatch.setenv("MODEL_SERVERS_CHECKPOINT_HOSTS", f"other.test,{host}")
        yield f"https://{host}"


def make(tmp_path: Path, uri: str | None, **more: bytes | str | int) -> list[str]:
    """Write a model whose weights are elsewhere; give the flags that name it.

    Args:
        tmp_path: has the registry.
        uri: where they are.
        more: files of the model, or what else is declared of the weights.
    """
    where = {} if uri is None else {"uri": uri}
    files = {name: one for name, one in more.items() if isinstance(one, bytes)}
    declared = {name: one for name, one in more.items() if name not in files}
    make_model(
        tmp_path / "registry",
        "cat",
        files={"checkpoint.pt": None, **files},
        model={"checkpoint": {**DECLARED, **where, **declared}},
    )
    return ["--registry", str(tmp_path / "registry")]


def in_place(tmp_path: Path, run: Run) -> bytes:
    """Build the same model with its weights in git, and give the archive."""
    registry = tmp_path / "in place"
    make_model(registry, "cat", model={"checkpoint": DECLARED})
    out = str(tmp_path / "expected")
    assert run("build", "cat", "-o", out, "--registry", str(registry))[0] == 0
    return (tmp_path / "expected" / "cat-1.0.0.mar").read_bytes()


def built(tmp_path: Path, run: Run, flags: list[str]) -> bytes:
    status, _, err = run("build", "cat", "-o", str(tmp_path / "dist"), *flags)
    assert status == 0, err
    return (tmp_path / "dist" / "cat-1.0.0.mar").read_bytes()


@pytest.mark.parametrize("path", ["weights.pt", "moved.pt"])
def test_weights_from_the_web_give_the_same_archive(
    run: Run, tmp_path: Path, web: str, path: str
) -> None:
    flags = make(tmp_path, f"{web}/{path}")

    assert run("validate", "cat", *flags)[0] == 0
    assert built(tmp_path, run, flags) == in_place(tmp_path, run)


def test_what_is_in_the_cache_is_not_fetched_again(
    run: Run, tmp_path: Path, web: str
) -> None:
    flags = make(tmp_path, f"{web}/weights.pt")
    out = ["-o", str(tmp_path / "dist")]

    assert f"fetch {web}/weights.pt\n" in run("build", "cat", *out, *flags)[2]
    assert "fetch" not in run("build", "cat", *out, *flags)[2]


def test_a_blob_that_was_damaged_in_the_cache_is_fetched_again(
    run: Run, tmp_path: Path, web: str
) -> None:
    flags = make(tmp_path, f"{web}/weights.pt")
    built(tmp_path, run, flags)
    blob = tmp_path / "cache" / SHA256
    blob.chmod(0o644)
    blob.write_bytes(OTHER)

    assert built(tmp_path, run, flags) == in_place(tmp_path, run)


@pytest.mark.parametrize("path", ["other.pt", "short.pt", "long.pt"])
def test_other_weights_are_found_and_never_packed(
    run: Run, tmp_path: Path, web: str, path: str
) -> None:
    flags = make(tmp_path, f"{web}/{path}")

    status, out, _ = run("validate", "cat", *flags)
    assert (status, "MS050 'checkpoint.pt' has sha256" in out) == (1, True)
    store = ["--store", (tmp_path / "store").as_uri()]
    status, _, err = run("publish", *flags, *store)
    assert status in (3, 4)
    assert "hint: " in err
    assert not list((tmp_path / "store").glob("models/**/*"))
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("away.pt", 4, "the host 'elsewhere.test' is not one of other.test, localhost"),
        ("plain.pt", 4, "'http://localhost:1/weights.pt' is not https://host/path"),
        ("file.pt", 3, "Redirection to url 'file:///etc/passwd' is not allowed"),
        ("nothing.pt", 3, "nothing.pt answers 404"),
        ("broken.pt", 3, "broken.pt answers 503"),
        ("weights.cut", 3, "weights.cut cannot be read"),
    ],
)
def test_what_cannot_be_fetched_is_told(
    run: Run, tmp_path: Path, web: str, path: str, status: int, message: str
) -> None:
    flags = make(tmp_path, f"{web}/{path}")

    found, _, err = run("build", "cat", "-o", str(tmp_path / "dist"), *flags)

    assert (found, message in err, "hint: " in err) == (status, True, True)
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_a_download_that_was_killed_goes_on(
    run: Run,
    tmp_path: Path,
    web: str,
    answers: dict[str, bytes | str | int | Shaky],
) -> None:
    weights = random.Random(1).randbytes(5 * 2**19)
    file = Shaky(body=weights, hangs_after=2**21)
    answers["/large.pt"] = file
    sha256 = hashlib.sha256(weights).hexdigest()
    flags = make(tmp_path, f"{web}/large.pt", sha256=sha256, size=len(weights))
    partial = tmp_path / "cache" / f".{sha256}.part"
    command = ["build", "cat", "-o", str(tmp_path / "dist"), *flags]

    killed = subprocess.Popen(
        [sys.executable, "-m", "model_servers", *command],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
    )
    while not (partial.exists() and partial.stat().st_size == 2**21):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    file.hangs_after = len(weights)

    assert weights in built(tmp_path, run, flags)
    assert file.asked == [None, f"bytes={2**21}-"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [sha256]


def test_a_host_that_is_not_trusted_is_a_finding_and_is_not_asked(
    run: Run, tmp_path: Path
) -> None:
    flags = make(tmp_path, "https://elsewhere.test/weights.pt")

    for command in (["validate"], ["build", "-o", str(tmp_path / "dist")]):
        status, out, _ = run(*command, "cat", *flags)
        assert status == 1
        assert "MS055 the weights are not fetched: the host 'elsewhere.test'" in out


def test_weights_that_are_too_large_are_a_finding(
    run: Run, tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SERVERS_CHECKPOINT_MAX_BYTES", "2000")

    status, out, _ = run("validate", "cat", *make(tmp_path, f"{web}/weights.pt"))

    assert (status, "it has 2048 bytes; at most 2000 are fetched" in out) == (1, True)


def test_a_limit_that_is_no_number_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SERVERS_CACHE_MAX_BYTES", "10 GB")

    status, _, err = run("validate")

    assert status == 2
    assert "MODEL_SERVERS_CACHE_MAX_BYTES is '10 GB', expected a number" in err


def test_weights_may_be_elsewhere_in_the_directory(run: Run, tmp_path: Path) -> None:
    flags = make(tmp_path, "weights/cat.pt", **{"weights/cat.pt": CHECKPOINT})

    status, out, _ = run("validate", "cat", *flags)

    assert (status, out) == (0, "1 model: no findings\n")
    assert built(tmp_path, run, flags) == in_place(tmp_path, run)
    assert not (tmp_path / "cache").exists()


def test_weights_that_are_nowhere_are_a_finding(run: Run, tmp_path: Path) -> None:
    for uri in ("weights/cat.pt", None):
        status, out, _ = run("validate", "cat", *make(tmp_path, uri))
        assert (status, "MS020 'checkpoint.pt' does not exist" in out) == (1, True)


def test_weights_in_a_folder_are_found_by_their_digest_alone(
    run: Run, tmp_path: Path
) -> None:
    store = ["--store", (tmp_path / "store").as_uri()]
    weights = tmp_path / "weights.pt"
    weights.write_bytes(CHECKPOINT)

    status, out, err = run("checkpoint", "add", str(weights), *store)
    assert (status, out) == (
        0,
        f'checkpoint:\n  sha256: "{SHA256}"\n  size: {len(CHECKPOINT)}\n',
    )
    assert "is in the store: " in err
    _, _, err = run("checkpoint", "add", str(weights), *store)
    assert "was in the store already" in err
    flags = make(tmp_path, None)
    assert run("publish", *flags, *store)[0] == 0
    (archive,) = (tmp_path / "store" / "models" / "cat" / "1.0.0").glob("*.mar")
    assert archive.read_bytes() == in_place(tmp_path, run)
    assert run("rebuild", "cat@1.0.0", "--verify", *flags, *store)[0] == 0


@pytest.fixture
def bucket(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags that name a store in S3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    url = f"s3://releases/{SHA256[:8]}"
    return ["--store", url, "--endpoint-url", moto_server.endpoint_url]


def test_the_printed_lines_are_all_that_a_model_needs(
    run: Run, tmp_path: Path, bucket: list[str]
) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(CHECKPOINT)

    status, out, _ = run("checkpoint", "add", str(weights), *bucket)

    uri = f"{bucket[1]}/checkpoints/sha256/{SHA256}"
    assert status == 0
    assert f"  uri: {uri}\n" in out
    flags = [*make(tmp_path, uri), *bucket[2:]]
    assert run("publish", *flags, "--store", bucket[1])[0] == 0


@pytest.mark.parametrize("name", ["nothing.pt", "empty.pt", "."])
def test_what_is_no_file_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.pt").write_bytes(b"")
    store = ["--store", (tmp_path / "store").as_uri()]

    status, _, err = run("checkpoint", "add", str(tmp_path / name), *store)

    assert (status, "hint: " in err) == (2, True)
    assert not (tmp_path / "store").exists()
