"""Whatever stands in a model's directory: findings, quickly, and never a traceback."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zoo
from model_servers.cli.main import main

TOOLS = Path(__file__).parents[2] / "tools"
MODEL = zoo.as_yaml(zoo.model_document())
CONFIG = zoo.as_yaml(zoo.config_document())
CASE = zoo.as_yaml(zoo.CASE)


@pytest.fixture
def tiny(tmp_path):
    return zoo.make_model(tmp_path / "registry")


@pytest.fixture
def validate(capfd):
    """Run ``ms validate`` on a model's directory: exit status and stdout."""

    def run(directory, *arguments):
        status = main(
            ["validate", "--static", "--registry", str(directory.parent), *arguments]
        )
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return int(status), captured.out or captured.err

    return run


def replaced(path, make):
    """Put something else in the place of a file."""

    def spoil(tiny):
        (tiny / path).unlink()
        make(tiny / path)

    return spoil


def written(path, content):
    data = content.encode() if isinstance(content, str) else content
    return lambda tiny: (tiny / path).write_bytes(data)


def sources(text):
    def spoil(tiny):
        (tiny / "requirements.txt").write_text(text)
        build = {"requirements_file": "requirements.txt"}
        (tiny / "model.yaml").write_text(zoo.as_yaml(zoo.model_document(build=build)))

    return spoil


def many_files(tiny):
    for number in range(1500):
        path = tiny / "library" / str(number % 30) / f"{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    listed = [f"library/{folder}" for folder in range(30)]
    document = zoo.model_document(build={"extra_files": listed})
    (tiny / "model.yaml").write_text(zoo.as_yaml(document))


BOMB = "a: &a [x, x]\n" + "".join(
    f"{two}: &{two} [*{one}, *{one}]\n"
    for one, two in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
HOSTILE = [
    pytest.param(
        lambda tiny: os.truncate(tiny / "model.yaml", 100 * 2**20),
        "MS001 the file has more than 100000 bytes",
        id="100 MB of zeros",
    ),
    pytest.param(
        written("model.yaml", "a: b\n" * 20_000_000),
        "MS001 the file has more than 100000 bytes",
        id="100 MB of YAML",
    ),
    pytest.param(written("model.yaml", bytes(range(256))), "MS001", id="binary junk"),
    pytest.param(
        replaced("model.yaml", Path.mkdir), "has no model.yaml", id="a directory"
    ),
    pytest.param(replaced("model.yaml", os.mkfifo), "has no model.yaml", id="a pipe"),
    pytest.param(
        replaced("handler_model.py", os.mkfifo),
        "'handler_model.py' does not exist",
        id="a pipe as the model file",
    ),
    pytest.param(
        replaced("model.yaml", lambda path: path.symlink_to("/dev/zero")),
        "MS021 the file is a link to a directory, or out of",
        id="a device",
    ),
    pytest.param(
        replaced("model.yaml", lambda path: path.symlink_to("model.yaml")),
        "MS029 hint: the link leads to nothing, or to itself",
        id="a link to itself",
    ),
    pytest.param(
        lambda tiny: (tiny / "golden" / "up").symlink_to("../golden"),
        "MS021",
        id="a directory link in a ring",
    ),
    pytest.param(written("model.yaml", BOMB), "aliases are not read", id="a bomb"),
    pytest.param(
        written("model.yaml", "[" * 99_000), "nested too deeply", id="deep lists"
    ),
    pytest.param(
        written("model.yaml", "a: {" * 24_000), "nested too deeply", id="deep maps"
    ),
    pytest.param(
        written("model.yaml", MODEL + "".join(f"k{i}: 1\n" for i in range(9000))),
        "there are more findings of this kind in the file",
        id="thousands of unknown keys",
    ),
    pytest.param(
        written("model.yaml", MODEL.replace("1.0.0", "1" * 90_000)),
        "MS001",
        id="a number of 90,000 digits",
    ),
    pytest.param(
        written("handler_model.py", "x = 1" + "+1" * 90_000),
        "MS030 the model file is not Python",
        id="a sum of 90,000 terms",
    ),
    pytest.param(
        written("handler_model.py", "(" * 190_000), "MS030", id="deep parentheses"
    ),
    pytest.param(
        written("handler_model.py", "x = 1\n" * 200_000),
        "more than 200000 bytes",
        id="a long model file",
    ),
    pytest.param(
        sources("package\\\n" * 10_000), "MS041 hint: ", id="one endless requirement"
    ),
    pytest.param(
        sources("a" + "=" * 90_000 + ","), "MS041 hint: ", id="many equal signs"
    ),
    pytest.param(
        written("train.py", "AK" + "IA" * 400_000), "no findings", id="almost secrets"
    ),
    pytest.param(
        written("train.py", "'/home/ada/x'\n" * 60_000),
        "there are more findings of this kind",
        id="thousands of findings in one file",
    ),
    pytest.param(many_files, "no findings", id="thousands of files"),
]


@pytest.mark.parametrize("output", ["text", "github", "json"])
@pytest.mark.parametrize(("spoil", "expected"), HOSTILE)
def test_hostile_files_are_answered(tiny, validate, spoil, expected, output):
    spoil(tiny)

    status, out = validate(tiny, "--format", output)

    assert status in (0, 1)
    assert len(out) < 100_000
    if output == "text":
        assert expected in out


@pytest.mark.parametrize(("spoil", "expected"), HOSTILE)
def test_hostile_files_take_little_memory(tiny, spoil, expected):
    spoil(tiny)
    limit_bytes = 600 * 2**20  # of addresses; about a tenth of it is used

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "model_servers",
            "validate",
            "--static",
            "--registry",
            tiny.parent,
        ],
        check=False,
        env={"PYTHONPATH": str(TOOLS)},
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_AS, (limit_bytes, limit_bytes)
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode in (0, 1)
    assert expected in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ünïcode", id="letters"),
        pytest.param("模型", id="Chinese"),
        pytest.param("a\nb", id="a line feed"),
        pytest.param("a\x1b[31mb", id="a terminal's escape"),
        pytest.param("a\u202eb", id="text from right to left"),
        pytest.param(os.fsdecode(b"\xff"), id="no text at all"),
        pytest.param("e\N{COMBINING ACUTE ACCENT}", id="decomposed"),
    ],
)
@pytest.mark.parametrize("where", ["model", "file", "golden case"])
def test_names_in_any_script_are_told_in_one_line(tiny, validate, name, where):
    match where:
        case "model":
            tiny = tiny.rename(tiny.parent / name)
        case "file":
            (tiny / f"{name}.csv").write_text("")
        case "golden case":
            (tiny / "golden" / f"{name}.yaml").write_text("schema: 0\n")

    for output in ("text", "github", "json"):
        status, out = validate(tiny, "--format", output)
        assert status in ((0, 1) if where == "file" else (1,))
        assert {"\x1b", "\u202e"}.isdisjoint(out)
        if output == "text":
            assert all(
                line.startswith(("registry/", "    fix: ", "1 model"))
                for line in out.splitlines()
            )


@pytest.fixture
def unprivileged():
    """Give a registry, and no rights beyond those of its files' modes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tiny = zoo.make_model(Path(folder) / "registry")
        main(
            ["validate", "--static", "--registry", str(tiny.parent)]
        )  # whatever is imported late
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield tiny, os.seteuid if is_root else lambda _: None
        finally:
            if is_root:
                os.seteuid(0)
            for path in [tiny.parent, *tiny.parent.rglob("*")]:
                path.chmod(0o755)


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("model.yaml", 1, "model.yaml: MS001 the file cannot be read: Permission"),
        ("handler_model.py", 1, "handler_model.py: MS001 the file cannot be read"),
        ("checkpoint.pt", 1, "checkpoint.pt: MS001 the file cannot be read"),
        ("golden", 1, "golden: MS001 the directory cannot be listed: Permission"),
        (".", 1, "registry/tiny: MS001 the directory cannot be listed: Permission"),
        ("..", 3, "cannot be read: Permission denied"),
    ],
)
def test_what_may_not_be_read_is_named(unprivileged, capfd, path, status, expected):
    tiny, set_user = unprivileged
    capfd.readouterr()
    set_user(0)
    (tiny / path).chmod(0)
    set_user(65534)

    found = main(["validate", "--static", "--registry", str(tiny.parent)])

    captured = capfd.readouterr()
    assert found == status
    assert expected in captured.out + captured.err
    assert "has no model.yaml" not in captured.out
    assert "Traceback" not in captured.err


def test_a_registry_that_is_a_file_is_a_usage_error(tmp_path, capfd):
    (tmp_path / "registry").write_text("")

    assert main(["validate", "--static", "--registry", str(tmp_path / "registry")]) == 2
    assert "there is no registry at" in capfd.readouterr().err


PLACES = {
    "model.yaml": MODEL,
    "model-config.yaml": CONFIG,
    "golden/case.yaml": CASE,
    "handler_model.py": zoo.HANDLER,
    "requirements.txt": "six==1.17.0\n",
}
SNIPPETS = ["\0", "\t", ": ", "- ", "{", "[", "&a ", "*a", "!!", "|", "#", '"', "'"]


@st.composite
def mutations(draw):
    """Give a file of a valid model with one piece replaced by another."""
    path = draw(st.sampled_from(sorted(PLACES)))
    text = PLACES[path]
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 20)))
    piece = draw(
        st.one_of(
            st.sampled_from(SNIPPETS),
            st.text(max_size=10),
            st.binary(max_size=4).map(lambda data: data.decode("latin-1")),
            st.integers().map(str),
            st.sampled_from([path, "..", "/", "~", "null", "1e999", "0x1", "yes"]),
        )
    )
    return path, text[:start] + piece + text[end:]


@given(mutated=st.lists(mutations(), min_size=1, max_size=3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_valid_model_with_a_piece_replaced_is_answered(tiny, validate, mutated):
    shutil.rmtree(tiny)
    build = {"requirements_file": "requirements.txt"}
    zoo.make_model(tiny.parent, files=PLACES, model={"build": build})
    for path, text in mutated:
        (tiny / path).write_bytes(text.encode(errors="surrogatepass"))

    status, out = validate(tiny)

    assert status in (0, 1)
    assert out.splitlines()[-1].startswith("1 model: ")
