"""``ms lock``: digests and exact versions, written into the model's documents."""

import hashlib
import zipfile

import pytest

import zoo
from model_servers.cli.main import main

SHA256 = hashlib.sha256(zoo.CHECKPOINT).hexdigest()
TEXT = """\
schema: 1
name: tiny # never changes
version: "1.0"
summary: A model for tests.
license: Apache-2.0
maintainers: ["@model-servers"]
build:
  model_file: handler_model.py
  config_file: model-config.yaml
  checkpoint_file: checkpoint.pt
"""
LOCKED = f'{TEXT}checkpoint:\n  sha256: "{SHA256}"\n  size: 2048\n'
WITH_URI = "checkpoint: # weights\n  uri: s3://b/k # where\n"


@pytest.fixture
def registry(tmp_path):
    zoo.make_model(tmp_path / "registry", files={"model.yaml": TEXT})
    return tmp_path / "registry"


@pytest.fixture
def ms(registry, capsys):
    def run(*arguments):
        status = main([*arguments, "--registry", str(registry)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages, and pip that knows no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    for version in ("1.0", "1.5"):
        facts = f"Metadata-Version: 2.1\nName: Tiny.Lib\nVersion: {version}\n"
        with zipfile.ZipFile(folder / f"tiny_lib-{version}-py3-none-any.whl", "w") as w:
            w.writestr(f"tiny_lib-{version}.dist-info/METADATA", facts)
            w.writestr(
                f"tiny_lib-{version}.dist-info/WHEEL",
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            w.writestr(f"tiny_lib-{version}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def with_requirements(registry, text):
    file = registry / "tiny" / "requirements.txt"
    file.write_text(text)
    named = TEXT.replace("build:\n", "build:\n  requirements_file: requirements.txt\n")
    (registry / "tiny" / "model.yaml").write_text(named)
    return file


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f'checkpoint:\n  sha256: "{SHA256}"\n  size: 2048\n'),
        (
            WITH_URI,
            f'{WITH_URI}  sha256: "{SHA256}"\n  size: 2048\n',
        ),
        (
            f"checkpoint:\n  size: 1 # bytes\n  sha256: {'0' * 63}a\ngolden: golden\n",
            f"checkpoint:\n  size: 2048 # bytes\n  sha256: {SHA256}\ngolden: golden\n",
        ),
    ],
)
def test_the_checkpoint_is_declared(ms, registry, before, after):
    file = registry / "tiny" / "model.yaml"
    file.write_text(TEXT + before)

    status, out, _ = ms("lock", "tiny")

    assert status == 0
    assert out == (
        f"tiny/model.yaml\n  checkpoint.sha256: {SHA256}\n  checkpoint.size: 2048\n"
    )
    assert file.read_text() == TEXT + after
    assert ms("validate", "tiny", "--static")[0] == 0
    assert ms("lock", "tiny") == (0, "tiny is locked\n", "")
    assert ms("lock", "tiny", "--check")[0] == 0


def test_check_writes_nothing_and_fails(ms, registry):
    status, out, err = ms("lock", "tiny", "--check")

    assert (status, err) == (1, "hint: ms lock tiny\n")
    assert SHA256 in out
    assert (registry / "tiny" / "model.yaml").read_text() == TEXT


def test_requirements_get_the_versions_that_pip_finds(ms, registry, index):
    file = with_requirements(registry, "# mine\ntiny-lib[x]>=1 # why\n")

    status, out, _ = ms("lock", "tiny")

    assert status == 0
    assert "tiny/requirements.txt\n  tiny-lib==1.5\n" in out
    assert file.read_text() == "# mine\ntiny-lib[x]==1.5 # why\n"


def test_what_pip_says_is_shown(ms, registry, index):
    file = with_requirements(registry, "tiny-lib>=2\n")

    status, _, err = ms("lock", "tiny")

    assert status == 3
    assert "No matching distribution found for tiny-lib>=2" in err
    assert file.read_text() == "tiny-lib>=2\n"
    assert "sha256" not in (registry / "tiny" / "model.yaml").read_text()


@pytest.mark.parametrize(
    "block", ["checkpoint:\n", "checkpoint: one\n", "checkpoint: {}\n"]
)
def test_a_block_that_cannot_be_edited_is_left_alone(ms, registry, block):
    (registry / "tiny" / "model.yaml").write_text(TEXT + block)

    status, _, err = ms("lock", "tiny")

    assert status == 2
    assert f"\nhint: write sha256: {SHA256} and size: 2048 below" in err
    assert (registry / "tiny" / "model.yaml").read_text() == TEXT + block


def test_a_missing_checkpoint_is_told(ms, registry):
    (registry / "tiny" / "checkpoint.pt").unlink()

    status, _, err = ms("lock", "tiny")

    assert status == 2
    assert err.startswith("ms: tiny/checkpoint.pt is not there\nhint: add the file")
