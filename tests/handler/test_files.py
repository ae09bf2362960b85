"""`system.extraFiles`: the author's files appear beside the model file."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from base_handler import handler_factory
from model_servers_handler.files import STATE_DIRECTORY, unpack_extra_files

SOURCE = """
from base_handler import handler_factory
from package.inner import WORD

handler = handler_factory(lambda: lambda batch: [WORD for _ in batch])
"""

FILES = {
    "package/__init__.py": "",
    "package/inner.py": "WORD = 'inner'",
    "top.txt": "x",
}


def make_tar(path: Path, files: dict[str, str], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # a mode
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def make_zip(path: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def loaded(models: Any, name: str, **facts: Any) -> Any:
    return models.load(SOURCE, config={"system": {"extraFiles": name}}, **facts)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("extra.tar.gz", "w:gz"),
        ("extra.tgz", "w:gz"),
        ("extra.tar", "w"),
        ("extra.tar.bz2", "w:bz2"),
        pytest.param("extra.tar.gz", "w", id="plain tar, as the guide's command makes"),
        ("extra.zip", "zip"),
    ],
)
def test_extra_files_keep_their_directories(models: Any, name: str, mode: str) -> None:
    if mode == "zip":
        make_zip(models.directory / name, FILES)
    else:
        make_tar(models.directory / name, FILES, mode)

    served = loaded(models, name)

    assert served.ask_json(1)[0].body == b"inner"
    assert (models.directory / "top.txt").read_text() == "x"


def test_a_tar_that_holds_a_zip_is_a_tar(models: Any, tmp_path: Path) -> None:
    make_zip(tmp_path / "in.zip", {"a": "b"})
    with tarfile.open(models.directory / "extra.tar", "w") as archive:
        archive.add(tmp_path / "in.zip", "in.zip")

    unpack_extra_files(models.directory, ["extra.tar"])

    assert (models.directory / "in.zip").exists()


@pytest.mark.parametrize("value", ["a.zip, b.zip", ["a.zip", "b.zip"]], ids=str)
def test_several_archives_are_unpacked_in_turn(models: Any, value: Any) -> None:
    make_zip(models.directory / "a.zip", {"x.txt": "a", "a.txt": "a"})
    make_zip(models.directory / "b.zip", {"x.txt": "b"})

    models.load(
        handler_factory(lambda: lambda b: b), config={"system": {"extraFiles": value}}
    )

    assert (models.directory / "x.txt").read_text() == "b"
    assert (models.directory / "a.txt").read_text() == "a"


def test_what_is_unpacked_is_not_unpacked_again(models: Any) -> None:
    make_tar(models.directory / "extra.tar", FILES)
    loaded(models, "extra.tar")
    (models.directory / "top.txt").write_text("changed")

    loaded(models, "extra.tar")

    assert (models.directory / "top.txt").read_text() == "changed"


def test_another_archive_of_the_same_name_is_unpacked(models: Any) -> None:
    make_tar(models.directory / "extra.tar", FILES)
    loaded(models, "extra.tar")
    make_tar(models.directory / "extra.tar", {**FILES, "top.txt": "y"})

    loaded(models, "extra.tar")

    assert (models.directory / "top.txt").read_text() == "y"


def test_an_interrupted_unpacking_is_done_again(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tar(models.directory / "extra.tar", FILES)
    with monkeypatch.context() as patch:
        patch.setattr("model_servers_handler.files.move_into", lambda *_: 1 / 0)
        assert "ZeroDivisionError" in models.refusal(
            SOURCE, config={"system": {"extraFiles": "extra.tar"}}
        )

    assert loaded(models, "extra.tar").ask_json(1)[0].body == b"inner"


def test_scripts_stay_executable_and_nothing_gets_other_rights(models: Any) -> None:
    with tarfile.open(models.directory / "extra.tar", "w") as archive:
        for name, mode in {"run.sh": 0o4777, "data": 0o600, "package": 0o700}.items():
            member = tarfile.TarInfo(name)
            member.mode = mode
            member.type = tarfile.DIRTYPE if name == "package" else tarfile.REGTYPE
            archive.addfile(member)

    unpack_extra_files(models.directory, ["extra.tar"])

    modes = {
        name: stat.S_IMODE((models.directory / name).stat().st_mode)
        for name in ("run.sh", "data")
    }
    assert modes == {"run.sh": 0o755, "data": 0o644}
    assert (models.directory / "package").is_dir()


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../out.txt", "is outside of the model's directory"),
        ("a/../../out.txt", "is outside of the model's directory"),
        ("/tmp/out.txt", "is outside of the model's directory"),
        ("a\\..\\out.txt", "is outside of the model's directory"),
        ("MAR-INF/MANIFEST.json", "has a name that is not the author's to use"),
        ("./base_handler.py", "has a name that is not the author's to use"),
        ("model_servers_handler/a.py", "has a name that is not the author's to use"),
        (".model-servers/lock", "has a name that is not the author's to use"),
    ],
)
def test_a_member_outside_of_the_authors_place_is_refused(
    models: Any, tmp_path: Path, kind: str, name: str, problem: str
) -> None:
    make = make_tar if kind == "tar" else make_zip
    make(models.directory / f"extra.{kind}", {"first.txt": "x", name: "x"})

    reason = models.refusal(SOURCE, config={"system": {"extraFiles": f"extra.{kind}"}})

    assert reason == (
        f"system.extraFiles: extra.{kind} cannot be unpacked:"
        f" ValueError: member {name!r} {problem}"
    )
    assert not (models.directory / "first.txt").exists()
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    "type_",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE],
    ids=["symlink", "hard link", "device", "pipe"],
)
def test_links_and_devices_are_refused(models: Any, type_: bytes) -> None:
    with tarfile.open(models.directory / "extra.tar", "w") as archive:
        member = tarfile.TarInfo("odd")
        member.type = type_
        member.linkname = "/etc/passwd"
        archive.addfile(member)

    reason = models.refusal(SOURCE, config={"system": {"extraFiles": "extra.tar"}})

    assert reason.endswith("ValueError: member 'odd' is a link or a device")


def test_a_link_in_a_zip_is_refused(models: Any) -> None:
    with zipfile.ZipFile(models.directory / "extra.zip", "w") as archive:
        member = zipfile.ZipInfo("odd")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")

    reason = models.refusal(SOURCE, config={"system": {"extraFiles": "extra.zip"}})

    assert reason.endswith("ValueError: member 'odd' is a link or a device")


def test_a_link_in_the_models_directory_leads_nothing_out_of_it(
    models: Any, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (models.directory / "package").symlink_to(tmp_path / "elsewhere")
    make_tar(models.directory / "extra.tar", FILES)

    reason = models.refusal(SOURCE, config={"system": {"extraFiles": "extra.tar"}})

    assert reason.endswith("would be put through a link to elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_model_directory_that_is_a_link_is_unpacked_in(
    models: Any, tmp_path: Path
) -> None:
    make_tar(models.directory / "extra.tar", FILES)
    (tmp_path / "link").symlink_to(models.directory)

    unpack_extra_files(tmp_path / "link", ["extra.tar"])

    assert (models.directory / "package" / "inner.py").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param(
            "missing.tar",
            "system.extraFiles names missing.tar, which is not in the archive; it has"
            " .model-servers, handler_model.py, no.zip",
            id="not there",
        ),
        pytest.param(
            "../extra.tar",
            "system.extraFiles: ../extra.tar cannot be unpacked: ValueError: member"
            " '../extra.tar' is outside of the model's directory",
            id="elsewhere",
        ),
        pytest.param(
            "no.zip",
            "system.extraFiles: no.zip cannot be unpacked: ValueError: it is neither a"
            " tar nor a zip archive",
            id="no archive",
        ),
    ],
)
def test_an_archive_that_cannot_be_unpacked_is_named(
    models: Any, name: str, reason: str
) -> None:
    models.write({"no.zip": "text"})

    assert models.refusal(SOURCE, config={"system": {"extraFiles": name}}) == reason


def test_a_read_only_directory_cannot_be_unpacked_in(models: Any) -> None:
    models.write({STATE_DIRECTORY: "a file, so no directory can be made"})
    make_tar(models.directory / "extra.tar", FILES)

    reason = models.refusal(SOURCE, config={"system": {"extraFiles": "extra.tar"}})

    assert reason == (
        "system.extraFiles: the model's directory is read-only, so extra.tar cannot be"
        " unpacked in it; serve a writable copy of the directory"
    )
