"""Rules in their details: what each finds, and what it leaves in peace."""

import ast
import sys
from pathlib import Path

import pytest

import zoo
from core.judging import codes, found
from model_servers.adapters.checkout import Checkout
from model_servers.core.findings import Code
from model_servers.core.modules import STANDARD, known_as
from model_servers.journeys.validate import validate

GUIDE = {
    "maxBatchDelay": 4000,
    "responseTimeout": 5200,
    "batchSize": 4,
    "deviceType": "gpu",
    "deviceIds": [0, 1, 2, 3],
    "system": {"maxGPUMemory": 500},
}


def test_the_sample_of_the_guide_has_hints_and_no_errors(tmp_path):
    assert codes(tmp_path, config=GUIDE) == [Code.BATCH_DELAY, Code.TIMEOUT]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({"responseTimeout": 3600}, [], id="an hour"),
        pytest.param({"startupTimeout": 3601}, [Code.TIMEOUT], id="more"),
        pytest.param({"maxBatchDelay": 1000}, [], id="a second"),
        pytest.param(
            {"maxBatchDelay": 60_000, "batchSize": 1}, [], id="no batch to wait for"
        ),
        pytest.param({"maxBatchDelay": 1001}, [Code.BATCH_DELAY], id="a longer delay"),
        pytest.param({"deviceIds": [0]}, [Code.GPU_MEMORY], id="a GPU by its number"),
        pytest.param({"deviceType": "cpu"}, [], id="no GPU"),
        pytest.param(
            {"deviceType": "gpu", "system": {"maxGPUMemory": 500}}, [], id="memory"
        ),
    ],
)
def test_settings_that_torchserve_takes_silently(tmp_path, config, expected):
    assert codes(tmp_path, config=config) == expected


def test_a_timeout_is_told_in_hours_with_the_seconds_it_may_mean(tmp_path):
    ((_, path, line, message),) = found(tmp_path, config={"responseTimeout": 5200})

    assert (path, line) == ("model-config.yaml", 5)
    assert message == "responseTimeout is 5200 seconds, which is 1.4 hours"


@pytest.mark.parametrize(
    ("other", "is_twin"),
    [("Tiny", True), ("TINY", True), ("tiny2", False), ("tine", False)],
)
def test_a_name_is_nobody_elses_in_another_case(tmp_path, other, is_twin):
    (tmp_path / "registry" / other).mkdir(parents=True)

    assert codes(tmp_path) == [Code.TWIN] * is_twin


def test_hyphens_and_underscores_are_taken_for_each_other(tmp_path):
    zoo.make_model(tmp_path / "registry", "my-net")
    zoo.make_model(tmp_path / "registry", "my_net")

    findings = validate(Checkout(tmp_path / "registry"), ["my-net", "my_net"])

    assert [(one.path, one.code) for one in findings] == [
        ("registry/my-net/model.yaml", Code.TWIN),
        ("registry/my_net/model.yaml", Code.TWIN),
    ]


def test_a_name_is_compared_with_released_ones_too(tmp_path):
    ((code, path, line, message),) = found(tmp_path, released=["TINY", "tiny", "wee"])

    assert (code, path, line) == (Code.TWIN, "model.yaml", 2)
    assert message == "'tiny' is easily taken for the model 'TINY'"


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "LICENSE",
        "LICENSE.txt",
        "CHANGELOG.rst",
        "Makefile",
        ".gitignore",
        ".github/CODEOWNERS",
        "train.py",
        "export.sh",
        "explore.ipynb",
        "training/data.csv",
        "docs/curve.png",
        "__pycache__/train.cpython-312.pyc",
    ],
)
def test_what_is_plainly_the_authors_may_stay_unused(tmp_path, path):
    assert codes(tmp_path, files={path: "a"}) == []


def test_channels_may_be_there(tmp_path):
    said = 'schema: 1\nchannels: {stable: "1.0.0"}\n'
    assert codes(tmp_path, files={"channels.yaml": said}) == []


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        pytest.param(
            {"data/a.csv": "", "data/b.csv": ""},
            "data/a.csv",
            "nothing uses the file",
            id="one finding per directory",
        ),
        pytest.param(
            {"requirements.txt": "six==1.17.0"},
            "requirements.txt",
            "nothing uses the file",
            id="requirements that model.yaml does not name",
        ),
        pytest.param(
            {"handler_model.py": f"import net\n{zoo.HANDLER}", "net.py": ""},
            "net.py",
            "handler_model.py imports it, but it is not packed",
            id="a module that is forgotten",
        ),
        pytest.param(
            {
                "handler_model.py": f"from nets.deep import x\n{zoo.HANDLER}",
                "nets/deep.py": "",
                "nets/__init__.py": "",
            },
            "nets/__init__.py",
            "handler_model.py imports it, but it is not packed",
            id="a package that is forgotten",
        ),
    ],
)
def test_what_is_not_packed_is_a_hint(tmp_path, files, path, message):
    assert found(tmp_path, files=files) == [(Code.UNUSED_FILE, path, None, message)]


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("requirements.txt", "write `requirements_file: requirements.txt` below build"),
        ("labels.txt", "add labels.txt to build.extra_files"),
    ],
)
def test_the_fix_is_the_key_that_packs_such_a_file(tmp_path, path, fix):
    zoo.make_model(tmp_path / "registry", files={path: ""})

    (one,) = validate(Checkout(tmp_path / "registry"), ["tiny"])

    assert one.fix == f"{fix}, move it to training/, or delete it"


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("json.py", "Python"),
        ("numpy/__init__.py", "a library"),
        ("PIL/__init__.py", "a library"),
        ("torch.so", "a library"),
        ("orjson.cpython-312-x86_64-linux-gnu.so", "a library"),
        ("base_handler/__init__.py", "the shared handler"),
        ("model_servers_handler.py", "the shared handler"),
        ("json/net.py", None),
        ("net/json.py", None),
        ("test/__init__.py", None),
        ("json.txt", None),
    ],
)
def test_a_module_that_hides_anothers_is_found(tmp_path, path, owner):
    top = path.partition("/")[0]
    model = {"build": {"extra_files": [top]}}

    as_files = found(tmp_path, files={path: ""}, model=model)
    archived = found(
        tmp_path,
        files={path: ""},
        model=model,
        config={"system": {"extraFiles": "source.tar"}},
    )

    assert [one[:2] for one in as_files] == [(Code.SHADOWED, path)] * (
        owner is not None
    )
    assert archived == as_files
    assert all(message.endswith(f"of {owner}") for *_, message in as_files)


def test_the_handlers_own_directory_cannot_be_brought_along(tmp_path):
    assert codes(
        tmp_path,
        files={"model_servers_handler/__init__.py": ""},
        model={"build": {"extra_files": ["model_servers_handler"]}},
    ) == [Code.COLLISION, Code.SHADOWED]


def test_what_the_handler_imports_counts_as_known():
    handler = Path(__file__).parents[2] / "handler"
    imported = {
        name.split(".")[0]
        for path in handler.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert {name for name in imported if known_as(name) is None} == {"__future__"}


def test_the_standard_library_of_this_python_is_known():
    games = {"antigravity", "idlelib", "this", "turtle", "turtledemo"}
    public = {name for name in sys.stdlib_module_names if not name.startswith("_")}

    assert public - STANDARD <= games


SECRETS = {
    "an AWS access key": "AK" + "IA" + "ABCDEFGH01234567",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a GitHub token": "gh" + "p_" + "a1" * 18,
    "a GitLab token": "gl" + "pat-" + "a1" * 10,
    "a Hugging Face token": "h" + "f_" + "aB" * 17,
    "a Slack token": "xo" + "xb-" + "1234567890",
    "a Google API key": "AI" + "za" + "a" * 35,
    "a PyPI token": "py" + "pi-AgEI" + "a" * 20,
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("path", ["README.md", "handler_model.py", ".env"])
def test_a_secret_is_found_in_any_text_and_never_shown(tmp_path, kind, path):
    text = f"{zoo.HANDLER}\nKEY = '''{SECRETS[kind]}'''\n"

    ((code, where, line, message),) = found(tmp_path, files={path: text})

    assert (code, where, line) == (Code.SECRET, path, 10)
    assert message == f"this looks like {kind}"


def test_a_secret_in_a_wrong_value_is_not_shown_either(tmp_path):
    secret = SECRETS["a GitHub token"]

    shown = found(tmp_path, model={"license": [secret], secret: 1})

    assert {one[0] for one in shown} == {Code.SHAPE, Code.SECRET}
    assert secret not in str(shown)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("AKIA" + "IOSFODNN7EXAMPLE", id="the example of the manuals"),
        pytest.param(b"\0" + SECRETS["an AWS access key"].encode(), id="binary"),
        pytest.param(" " * 1_000_000 + SECRETS["a Slack token"], id="large"),
        pytest.param("model = '/home/model-server/tmp'", id="a server's home"),
        pytest.param("https://host/home/ada/x", id="a URL"),
        pytest.param("see home/ada/x and ~/home/ada/x", id="a relative path"),
    ],
)
def test_what_only_looks_like_a_secret_or_a_path_is_left_in_peace(tmp_path, content):
    assert codes(tmp_path, files={"train.py": content}) == []


@pytest.mark.parametrize(
    "path",
    ["/home/ada/x.txt", "/Users/ada/x.txt", "C:\\\\Users\\\\ada", "C:/Users/ada"],
)
def test_a_path_of_the_authors_machine_is_a_hint_with_its_line(tmp_path, path):
    ((code, where, line, message),) = found(
        tmp_path, files={"train.py": f"#\nopen('{path}')\n", "README.md": path}
    )

    assert (code, where, line) == (Code.ABSOLUTE_PATH, "train.py", 2)
    assert "exists only on its author's machine" in message


def test_a_large_checkpoint_that_is_declared_is_no_hint(tmp_path):
    weights = zoo.checkpoint_of(10 * 2**20)

    declared = {"sha256": "0" * 64, "size": len(weights)}
    undeclared = codes(tmp_path, files={"checkpoint.pt": weights})
    with_digest = codes(
        tmp_path, files={"checkpoint.pt": weights}, model={"checkpoint": declared}
    )

    assert (undeclared, with_digest) == ([Code.LARGE_FILE], [Code.CHECKPOINT])
