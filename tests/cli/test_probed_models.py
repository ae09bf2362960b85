"""Which commands import a model's code, and what they say of it."""

import io
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

import zoo
from model_servers.cli.main import main

REGISTRY = Path(__file__).parents[2] / "registry"


@pytest.fixture
def marker(tmp_path):
    """A file that the model's code makes when it is imported."""
    return tmp_path / "imported"


@pytest.fixture
def registry(tmp_path, marker):
    code = f"open({str(marker)!r}, 'w')\n{zoo.HANDLER}"
    zoo.make_model(tmp_path / "registry", files={"handler_model.py": code})
    return tmp_path / "registry"


@pytest.mark.parametrize(
    ("arguments", "is_imported"),
    [
        pytest.param(["validate", "tiny"], True, id="validate a model"),
        pytest.param(["validate"], True, id="validate all"),
        pytest.param(["validate", "--all"], True, id="validate --all"),
        pytest.param(["validate", "--static"], False, id="validate --static"),
        pytest.param(["validate", "tiny", "--static"], False, id="one, --static"),
        pytest.param(["build", "tiny", "-o", "dist"], False, id="build"),
        pytest.param(["publish", "--store", "STORE"], False, id="publish"),
    ],
)
def test_validating_imports_the_code_and_releasing_does_not(
    registry, marker, tmp_path, monkeypatch, arguments, is_imported
):
    monkeypatch.chdir(tmp_path)
    store = (tmp_path / "store").as_uri()
    arguments = [store if one == "STORE" else one for one in arguments]

    assert main([*arguments, "--registry", str(registry)]) == 0
    assert marker.exists() == is_imported


def test_the_models_of_the_registry_have_no_findings(capsys):
    assert main(["validate", "--registry", str(REGISTRY)]) == 0

    captured = capsys.readouterr()
    assert captured.out == "3 models: no findings\n"
    assert captured.err == ""


def test_a_model_that_cannot_be_imported_fails(registry, capsys):
    (registry / "tiny" / "handler_model.py").write_text(f"import no_one\n{zoo.HANDLER}")

    assert main(["validate", "--registry", str(registry)]) == 1
    out = capsys.readouterr().out
    assert "handler_model.py: MS032 handler_model.py cannot be imported" in out
    assert "fix: add what is missing to requirements.txt or to build.extra_files" in out


def test_a_model_that_fails_when_it_is_imported_lacks_no_package(registry, capsys):
    (registry / "tiny" / "handler_model.py").write_text(f"1 / 0\n{zoo.HANDLER}")

    assert main(["validate", "--registry", str(registry)]) == 1
    out = capsys.readouterr().out
    assert "ZeroDivisionError" in out
    assert "fix: correct what the file does when it is imported\n" in out


def test_what_cannot_be_checked_here_is_one_line_on_stderr(registry, capsys):
    code = zoo.HANDLER.replace(
        "return lambda batch: batch", "raise RuntimeError('no NVIDIA driver')"
    )
    (registry / "tiny" / "handler_model.py").write_text(code)

    assert main(["validate", "--registry", str(registry)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "1 model: no findings\n"
    assert captured.err == ("tiny: its code is not checked: it needs a GPU\n")


def test_a_network_that_was_changed_no_longer_fits_its_checkpoint(tmp_path, capsys):
    model = shutil.copytree(REGISTRY / "my_network", tmp_path / "registry/my_network")
    source = (model / "model.py").read_text()
    (model / "model.py").write_text(source.replace("nn.Linear(", "nn.Bilinear(3, ", 1))

    assert main(["validate", "--registry", str(model.parent)]) == 1
    assert "MS053" in capsys.readouterr().out


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def bomb(marker):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**26))
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "safetensors"])
@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(
            lambda marker: pickle.dumps(Attack(marker)), "MS051", id="an attack"
        ),
        pytest.param(bomb, "MS054", id="a bomb"),
        pytest.param(lambda marker: zoo.CHECKPOINT[:-1], "MS054", id="cut off"),
        pytest.param(lambda marker: zoo.CHECKPOINT + b"1", "MS054", id="too long"),
        pytest.param(
            lambda marker: (2**62).to_bytes(8, "little") + b"{}", "MS054", id="a lie"
        ),
    ],
)
def test_a_hostile_checkpoint_is_one_finding_and_is_never_loaded(
    tmp_path, marker, capsys, make, code, ending
):
    name = f"checkpoint.{ending}"
    model = zoo.make_model(
        tmp_path / "hostile" / "registry",
        files={"checkpoint.pt": None, name: make(marker)},
        model={"build": {"checkpoint_file": name}},
    )

    assert main(["validate", "--registry", str(model.parent)]) == 1
    out = capsys.readouterr().out
    assert f"registry/tiny/{name}: {code} the checkpoint" in out
    assert out.endswith("1 model: 1 finding\n")
    assert not marker.exists()
