"""`ms init`: what it makes, what it refuses, and what an interruption leaves."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from model_servers.cli.main import main

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A checkout with the example models, as the current directory."""
    for folder in ("registry", "schemas"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ms(work, capsys):
    """Run ``ms``: exit status, stdout, stderr."""

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(status), captured.out, captured.err

    return run


def everything(directory):
    return sorted(path.relative_to(directory) for path in directory.rglob("*"))


def document(work, name):
    return yaml.safe_load((work / "registry" / name / "model.yaml").read_text())


def git(*arguments):
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def test_a_new_model_is_listed_with_the_next_commands(ms):
    status, out, _ = ms("init", "tiny")

    assert status == 0
    assert out == (
        "registry/tiny\n"
        "  README.md\n"
        "  golden/first.yaml\n"
        "  handler_model.py\n"
        "  model-config.yaml\n"
        "  model.yaml\n"
        "\n"
        "next:\n"
        "  ms validate tiny\n"
        "  ms test tiny\n"
        "  ms serve tiny\n"
    )
    assert ms("validate", "tiny") == (0, "1 model: no findings\n", "")


def test_the_next_commands_name_another_registry(ms, work):
    (work / "my models").mkdir()

    _, out, _ = ms("init", "tiny", "--registry", "my models")

    assert "  ms validate tiny --registry 'my models'\n" in out
    assert (work / "my models" / "tiny" / "model.yaml").exists()


def test_every_yaml_file_tells_an_editor_its_schema(ms, work):
    ms("init", "tiny")

    for file in (work / "registry" / "tiny").rglob("*.yaml"):
        start, _, schema = file.read_text().splitlines()[0].partition("$schema=")
        assert start == "# yaml-language-server: "
        assert (file.parent / schema).resolve().parent == work / "schemas"
        assert (file.parent / schema).is_file()


def test_what_is_said_about_a_model_is_read_back_as_it_was_said(ms, work):
    summary = 'Says "no": it\'s #1 — # {really} \\ ünï'

    status, _, _ = ms(
        *("init", "tiny", "--summary", summary, "--license", "MIT"),
        *("--maintainer", "@me", "--maintainer", "ada@example.org"),
    )

    found = document(work, "tiny")
    assert status == 0
    assert (found["summary"], found["license"]) == (summary, "MIT")
    assert found["maintainers"] == ["@me", "ada@example.org"]
    assert ms("validate", "tiny")[0] == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"user.email": "ada@example.org"}, "ada@example.org"),
        ({"user.email": "12+ada-l@users.noreply.github.com"}, "@ada-l"),
        ({"github.user": "ada", "user.email": "ada@example.org"}, "@ada"),
    ],
)
def test_the_maintainer_is_gits_user(ms, work, settings, expected):
    git("init", "--quiet")
    for key, value in settings.items():
        git("config", key, value)

    _, _, err = ms("init", "tiny")

    assert document(work, "tiny")["maintainers"] == [expected]
    assert err == ""


def test_who_git_does_not_know_is_asked_to_say_who_they_are(ms, work):
    _, _, err = ms("init", "tiny")

    assert document(work, "tiny")["maintainers"] == ["@your-account"]
    assert "note: model.yaml: git has no user.email" in err


@pytest.mark.parametrize(
    "name",
    [
        "Tiny",
        "tiny model",
        "tökens",
        "1st",
        "a__b",
        "token_reader",
        "../up",
        "",
        "a" * 65,
    ],
)
def test_an_illegal_name_is_refused_with_the_reason(ms, work, name):
    before = everything(work)

    status, _, err = ms("init", name)

    assert status == 2
    assert f"{name!r} cannot name a model: " in err
    assert everything(work) == before


def test_a_name_that_is_nearly_right_is_suggested(ms):
    assert (
        "hint: choose another name, such as tiny_model\n" in ms("init", "Tiny Model")[2]
    )
    assert ms("init", "1st")[2].endswith("hint: choose another name\n")


@pytest.mark.parametrize("kind", ["directory", "file", "broken link"])
def test_nothing_is_overwritten(ms, work, kind):
    place = work / "registry" / "tiny"
    if kind == "directory":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to("nowhere")
    before = everything(work)

    status, _, err = ms("init", "tiny")

    assert status == 2
    assert "registry/tiny exists; nothing is overwritten" in err
    assert everything(work) == before


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--summary", "two\nlines"),
        ("--summary", "x" * 201),
        ("--summary", " "),
        ("--license", "\x7f"),
        ("--maintainer", "\ud800"),
    ],
)
def test_a_text_that_cannot_stand_in_model_yaml_is_refused(ms, work, option, text):
    status, _, err = ms("init", "tiny", option, text)

    assert status == 2
    assert f"hint: correct {option}\n" in err
    assert not (work / "registry" / "tiny").exists()


def test_without_a_registry_the_way_to_one_is_named(ms, tmp_path):
    status, _, err = ms("init", "tiny", "--registry", tmp_path / "nowhere")

    assert status == 2
    assert "hint: run ms in a checkout" in err


@pytest.mark.parametrize("example", ["digits", "my_network", "wine"])
def test_a_copied_example_is_valid_and_keeps_its_golden_cases(ms, work, example):
    (work / "registry" / example / "channels.yaml").write_text('stable: "1.0.0"\n')

    status, _, _ = ms("init", "mine", "--from-example", example, "--maintainer", "@me")

    mine, theirs = work / "registry" / "mine", work / "registry" / example
    found = document(work, "mine")
    assert status == 0
    assert found == document(work, example) | {
        "name": "mine",
        "version": "1.0.0",
        "maintainers": ["@me"],
    }
    for case in theirs.glob("golden/*"):
        assert (mine / "golden" / case.name).read_bytes() == case.read_bytes()
    readme = (mine / "README.md").read_text()
    assert readme.startswith("# mine\n")
    assert f"predictions/{example}" not in readme
    assert "predictions/mine" in readme
    assert not (mine / "channels.yaml").exists()
    assert ms("validate", "mine") == (0, "1 model: no findings\n", "")


def test_an_example_with_findings_is_not_copied(ms, work):
    (work / "registry" / "wine" / "model.yaml").write_text("schema: 1\n")

    status, _, err = ms("init", "mine", "--from-example", "wine")

    assert status == 2
    assert err == "ms: wine cannot be copied: it has findings\nhint: ms validate wine\n"
    assert not (work / "registry" / "mine").exists()


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_checkpoint_that_would_run_code_is_refused_and_not_run(ms, work):
    torch.save({"weight": Malicious()}, work / "bad.pt")

    status, _, err = ms("init", "tiny", "--checkpoint", "bad.pt")

    assert status == 2
    assert "bad.pt is no state_dict of a model: " in err
    assert "hint: save one with torch.save(model.state_dict(), path)" in err
    assert not (work / "executed").exists()
    assert not (work / "registry" / "tiny").exists()


def test_a_pickled_module_is_refused_with_the_way_to_save_it(ms, work):
    torch.save(nn.Linear(2, 2), work / "module.pt")

    status, _, err = ms("init", "tiny", "--checkpoint", "module.pt")

    assert status == 2
    assert "hint: save one with torch.save(model.state_dict(), path)" in err


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, "it holds no tensor"),
        ({"a": torch.ones(1), "a.b": torch.ones(1)}, "'a.b' would be part of a tensor"),
        ({"a.b": torch.ones(1), "a": torch.ones(1)}, "'a' is there twice"),
        ({"a..b": torch.ones(1)}, "'a..b' is no name of a parameter"),
        ({'a"""\nimport os': torch.ones(1)}, "is no name of a parameter"),
        ({"forward": torch.ones(1)}, "no parameter can be called 'forward'"),
        ({".".join("a" * 99): torch.ones(1)}, "is nested 98 deep"),
    ],
)
def test_tensors_that_no_module_could_have_are_refused(ms, work, state, reason):
    torch.save(state, work / "odd.pt")

    status, _, err = ms("init", "tiny", "--checkpoint", "odd.pt")

    assert status == 2
    assert reason in err
    assert not (work / "registry" / "tiny").exists()


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("junk.pt", b"\x00\xff" * 99, "junk.pt is no state_dict"),
        ("plain.pt", pickle.dumps([1]), "plain.pt is no state_dict"),
        ("model.onnx", b"", "'model.onnx' is no checkpoint by its name"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(ms, work, file, content, reason):
    (work / file).write_bytes(content)

    status, _, err = ms("init", "tiny", "--checkpoint", file)

    assert status == 2
    assert reason in err
    assert ms("init", "tiny", "--checkpoint", "missing.pt")[2].startswith(
        "ms: there is no file missing.pt\n"
    )


def test_the_models_checkpoint_is_a_copy_of_its_own(ms, work):
    checkpoint = work / "mine.pt"
    torch.save(nn.Linear(2, 2).state_dict(), checkpoint)
    ms("init", "tiny", "--checkpoint", "mine.pt")

    with checkpoint.open("r+b") as file:  # as a training run saves over it
        file.write(b"other weights")

    _, out, _ = ms("validate", "tiny")
    assert "MS050" not in out


def test_a_full_disk_leaves_nothing_behind(ms, work, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    before = everything(work)

    status, _, err = ms("init", "tiny")

    assert status == 3
    assert "registry/tiny cannot be written: No space left on device" in err
    assert everything(work) == before


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_nothing_that_looks_like_a_model(ms, work, ending):
    os.mkfifo(work / "endless.pt")
    torch.save(nn.Linear(2, 2).state_dict(), work / "mine.pt")
    # A copy that has begun and never comes to its end.
    program = (
        "import sys; from pathlib import Path; from model_servers.cli.main import run; "
        "from model_servers.adapters import copying; "
        "clones = copying.clones; "
        "copying.clones = lambda *a: (print('copying', flush=True), "
        "open('endless.pt').read(), clones(*a))[2]; "
        "sys.argv = ['ms', 'init', 'tiny', '--checkpoint', 'mine.pt']; run()"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline() == b"copying\n"
        process.send_signal(ending)
        process.wait(timeout=60)

    status, out, _ = ms("validate", "--static")
    assert (status, out) == (0, "3 models: no findings\n")
    hidden = list((work / "registry").glob(".tiny.*"))
    assert len(hidden) == (1 if ending == signal.SIGKILL else 0)
    assert ms("init", "tiny")[0] == 0


@pytest.mark.torchserve
def test_a_new_model_passes_its_test_once_what_was_made_wrong_in_it_is_corrected(
    ms, work
):
    ms("init", "tiny")
    (case,) = (work / "registry/tiny/golden").glob("*.yaml")
    right = case.read_text()
    case.write_text(right.replace("10.0", "11.0"))
    status, out, _ = ms("test", "tiny")
    assert (status, "WRONG" in out) == (1, True)

    case.write_text(right)
    status, out, err = ms("test", "tiny")

    assert status == 0, err
    assert "reproduces 1" in out
    assert "[10.0,-0.5]" in out
