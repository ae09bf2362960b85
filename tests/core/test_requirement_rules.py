"""Rules about requirements: exact, of a package, and nothing but packages."""

import pytest

import zoo
from core.judging import codes, found
from model_servers.adapters.checkout import Checkout
from model_servers.core.findings import Code
from model_servers.core.rules.packages import names_of
from model_servers.journeys.validate import validate


def required(text, **files):
    return {
        "files": {"requirements.txt": text, **files},
        "model": {"build": {"requirements_file": "requirements.txt"}},
    }


@pytest.mark.parametrize(
    "line",
    [
        "numpy==2.2.6",
        "numpy == 2.2.6  # why",
        "numpy===2.2.6",
        "Pillow[extra]==11.0.0 ; python_version > '3.9'",
        "numpy==2.2.6 --hash=sha256:" + "ab" * 32,
        "numpy==2.2.6 \\\n    --hash=sha256:" + "ab" * 32,
        "net @ https://host/net-1.0-py3-none-any.whl#sha256=" + "ab" * 32,
        "net @ git+https://host/net.git@" + "ab" * 20,
        "net @ git+ssh://git@host/net.git@" + "ab" * 20,
        "git+https://host/net.git@" + "ab" * 20,
        "https://host/net-1.0-py3-none-any.whl#sha256=" + "ab" * 32,
        "--index-url https://host/simple",
        "--extra-index-url https://${USER}:${TOKEN}@host/simple",
        "# -e .",
        "",
    ],
)
def test_requirements_that_say_exactly_what_is_installed(tmp_path, line):
    assert codes(tmp_path, **required(f"{line}\n")) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("numpy", Code.UNPINNED),
        ("numpy>=2", Code.UNPINNED),
        ("numpy==2.*", Code.UNPINNED),
        ("numpy==2.2.6,<3", Code.UNPINNED),
        ("net @ git+https://host/net.git@main", Code.UNPINNED),
        ("net @ https://host/net.whl", Code.UNPINNED),
        ("net@https://host/net==1.0", Code.UNPINNED),
        ("git+https://host/net.git", Code.UNPINNED),
        ("https://host/net.whl", Code.UNPINNED),
        ("torch==2.3.0", Code.REQUIREMENTS),
        ("torchserve", Code.REQUIREMENTS),
        ("-e .", Code.REQUIREMENT_OPTION),
        ("--editable=git+https://host/net.git#egg=net", Code.REQUIREMENT_OPTION),
        ("-r more.txt", Code.REQUIREMENT_OPTION),
        ("--constraint=more.txt", Code.REQUIREMENT_OPTION),
        ("./net", Code.REQUIREMENT_OPTION),
        ("net @ file:///srv/net.whl", Code.REQUIREMENT_OPTION),
        ("--index-url https://ada:pass@host/simple", Code.REQUIREMENT_OPTION),
        ("net @ git+https://pass@host/net.git", Code.REQUIREMENT_OPTION),
    ],
)
def test_requirements_that_say_less_or_do_more(tmp_path, line, code):
    ((first, path, number, message),) = found(tmp_path, **required(f"#\n{line}\n"))

    assert (first, path, number) == (code, "requirements.txt", 2)
    assert "pass" not in message.replace("a password", "")


@pytest.mark.parametrize(
    ("line", "message", "fix"),
    [
        ("numpy", "numpy has no exact version", "write numpy==VERSION"),
        ("git+https://host/net", "the address may have something else", "@COMMIT"),
        ("net @ https://host/net", "the address may have something else", "#sha256="),
    ],
)
def test_an_address_is_pinned_in_its_own_way(tmp_path, line, message, fix):
    zoo.make_model(tmp_path / "registry", **required(line))

    (one,) = validate(Checkout(tmp_path / "registry"), ["tiny"])

    assert message in one.message
    assert fix in one.fix


def test_an_address_alone_names_no_package():
    text = "git+https://host/net\nhttps://host/a.whl\nnet @ https://host/net\nsix\n"

    assert names_of(text) == ("net", "six")


def test_a_file_of_requirements_that_is_packed_may_be_named(tmp_path):
    parts = required("-r more.txt\n", **{"more.txt": "six==1.17.0\n"})
    parts["model"]["build"]["extra_files"] = ["more.txt"]

    assert codes(tmp_path, **parts) == []


def test_many_findings_of_one_kind_in_one_file_are_cut(tmp_path):
    lines = "".join(f"package{number}\n" for number in range(500))

    shown = found(tmp_path, **required(lines))

    assert len(shown) == 21
    assert shown[-1][3] == "there are more findings of this kind in the file"
