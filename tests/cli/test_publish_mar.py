"""Archives of torch-model-archiver are released as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.cli.main import main
from model_servers.core.names import Ref
from zoo import CHECKPOINT, HANDLER, as_yaml, config_document

Run = Callable[..., tuple[int, str, str]]
CAT = Ref.parse("cat@1.0")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    store = (tmp_path / "store").as_uri()

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([*arguments, "--store", store])
        return (status, *capsys.readouterr())

    return run


def archived(
    folder: Path,
    *,
    name: str = "cat",
    version: str = "1.0",
    form: str = "zip-store",
    config: str = "",
) -> Path:
    """Make an archive with torch-model-archiver."""
    (folder / "scratch").mkdir(parents=True)
    handler, weights = folder / "my_handler.py", folder / "weights.pt"
    handler.write_text(HANDLER)
    # Large enough to be cut into segments.
    weights.write_bytes(CHECKPOINT * 20_000)
    settings = folder / "settings.yaml"
    settings.write_text(config or as_yaml(config_document()))
    flags = {
        "model-name": name,
        "version": version,
        "handler": handler,
        "serialized-file": weights,
        "config-file": settings,
        "export-path": folder,
        "archive-format": form,
    }
    arguments = [text for flag, at in flags.items() for text in (f"--{flag}", str(at))]
    subprocess.run(
        [sys.executable, "-m", "model_archiver.model_packaging", *arguments],
        # It empties and removes <temporary directory>/<model name>.
        env={**os.environ, "TMPDIR": str(folder / "scratch")},
        check=True,
        capture_output=True,
    )
    return folder / f"{name}.mar"


def test_the_bytes_are_released_and_the_members_listed(
    run: Run, tmp_path: Path
) -> None:
    mar = archived(tmp_path / "made")

    status, out, err = run("publish", "--mar", str(mar))

    assert status == 0, err
    headline, *rows = out.splitlines()
    assert headline.endswith("/store: cat@1.0 released")
    assert "  weights.pt  39.1 MiB" in rows
    store = LocalStore(tmp_path / "store")
    release = StoredReleases(store).find(CAT)
    assert release is not None
    assert store.read(release.key) == mar.read_bytes()
    with zipfile.ZipFile(mar) as archive:
        names = {one.filename for one in archive.infolist() if not one.is_dir()}
        assert {one.path for one in release.archive.members} == names
        for member in release.archive.members:
            found = store.read_range(release.key, member.offset, member.length)
            assert found == archive.read(member.path)
    assert release.resources == {"workers": 1}
    work = ["--work", str(tmp_path / "work")]
    assert run("fsck", *work)[0] == 0


def test_what_is_released_can_be_fetched(run: Run, tmp_path: Path) -> None:
    """Every segment and what is between the members is verified on its way."""
    mar = archived(tmp_path / "made")
    run("publish", "--mar", str(mar))

    status, _, err = run("fetch", "cat@1.0", "-o", str(tmp_path / "fetched"))

    assert status == 0, err
    (fetched,) = (tmp_path / "fetched").glob("*.mar")
    assert fetched.read_bytes() == mar.read_bytes()


def test_releasing_again_changes_nothing(run: Run, tmp_path: Path) -> None:
    mar = str(archived(tmp_path / "made"))
    run("publish", "--mar", mar)

    status, out, _ = run("publish", "--mar", mar)

    assert (status, "cat@1.0 unchanged" in out) == (0, True)


def test_looking_first_writes_nothing(run: Run, tmp_path: Path) -> None:
    mar = str(archived(tmp_path / "made"))

    status, out, _ = run("publish", "--mar", mar, "--dry-run", "--json")

    found = json.loads(out)
    assert (status, found["ref"], found["new"]) == (0, "cat@1.0", True)
    assert "weights.pt" in {one["path"] for one in found["members"]}
    assert not (tmp_path / "store").exists()


def test_other_bytes_of_a_released_version_are_refused(
    run: Run, tmp_path: Path
) -> None:
    run("publish", "--mar", str(archived(tmp_path / "made")))
    other = archived(tmp_path / "other", config="batchSize: 2\n")

    status, _, err = run("publish", "--mar", str(other))

    assert (status, "cat@1.0 is released with archive" in err) == (4, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "default"}, "is compressed or encrypted"),
        ({"name": "Cat"}, "'Cat' cannot name a model"),
        ({"version": "one"}, "version 'one' is not MAJOR.MINOR"),
        ({"config": "batchsize: 2\n"}, "settings.yaml:1:1: batchsize: MS002"),
    ],
)
def test_what_hosts_could_not_run_is_refused(
    run: Run, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    mar = archived(tmp_path / "made", **options)

    status, _, err = run("publish", "--mar", str(mar))

    assert (status, message in err, "hint: " in err) == (2, True, True)
    assert not (tmp_path / "store").exists()


def zipped(path: Path, *names: str, manifest: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "hello")
        if manifest is not None:
            archive.writestr("MAR-INF/MANIFEST.json", manifest)
    return path


@pytest.mark.parametrize(
    ("names", "manifest", "message"),
    [
        (("../../etc/passwd",), "{}", "leaves the archive"),
        (("/etc/passwd",), "{}", "leaves the archive"),
        (("a", "a"), "{}", "has 'a' twice"),
        (("a",), None, "has no MAR-INF/MANIFEST.json"),
        (("a",), "{", "has no MAR-INF/MANIFEST.json that can be read"),
        (("a",), "[]", "describes no model"),
        (("a",), '{"model": {}}', "cannot be released"),
        (
            ("a",),
            '{"model": {"modelName": "a", "modelVersion": "1.0", "configFile": "x"}}',
            "has no model config 'x'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_refused(
    run: Run,
    tmp_path: Path,
    names: tuple[str, ...],
    manifest: str | None,
    message: str,
) -> None:
    mar = zipped(tmp_path / "a.mar", *names, manifest=manifest)

    status, _, err = run("publish", "--mar", str(mar))

    assert (status, message in err, "hint: " in err) == (2, True, True)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("content", [b"", b"no zip at all", None])
def test_what_is_no_archive_is_refused(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.mar"
    if content is not None:
        path.write_bytes(content)

    status, _, err = run("publish", "--mar", str(path))

    assert (status, "hint: " in err) == (2, True)


def test_an_archive_cut_short_is_refused(run: Run, tmp_path: Path) -> None:
    mar = archived(tmp_path / "made")
    mar.write_bytes(mar.read_bytes()[:-100])

    assert run("publish", "--mar", str(mar))[0] == 2


def test_a_member_that_is_damaged_is_refused(run: Run, tmp_path: Path) -> None:
    mar = archived(tmp_path / "made")
    data = mar.read_bytes()
    mar.write_bytes(data.replace(CHECKPOINT * 20_000, b"?" + (CHECKPOINT * 20_000)[1:]))

    status, _, err = run("publish", "--mar", str(mar))

    assert (status, "is no sound zip: Bad CRC-32" in err) == (2, True)
