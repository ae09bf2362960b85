"""The registry in a checkout: what is read, and what is wrong with its shape."""

import hashlib
import os
import subprocess
import zlib

import pytest
from blake3 import blake3

import zoo
from adapters.checkouts import finding, findings, read
from model_servers.adapters.checkout import Checkout
from model_servers.core.contribution import Digests, FileFacts
from model_servers.core.findings import Code
from model_servers.core.segments import Run, Segment
from model_servers.errors import OutsideError, RequestError


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "registry"
    folder.mkdir()
    return folder


@pytest.fixture
def tiny(registry):
    return zoo.make_model(registry)


@pytest.mark.parametrize("variant", zoo.VARIANTS, ids=str)
def test_every_kind_of_valid_model_has_no_findings(registry, variant):
    assert findings(variant.make(registry)) == []


def test_a_model_is_read_with_its_documents_and_files(registry):
    directory = zoo.make_model(
        registry,
        files={"requirements.txt": "six\n", "library/a.py": "", "empty/x.txt": b"12"},
        model={"build": {"requirements_file": "requirements.txt"}},
    )

    tiny = read(directory)

    assert tiny.name == "tiny"
    assert tiny.root == "registry/tiny"
    assert tiny.findings == ()
    assert tiny.model.data["version"] == "1.0.0"
    assert tiny.model.places["version"] == (3, 1)
    assert tiny.config.data["batchSize"] == 4
    assert [case.path for case in tiny.golden] == ["golden/case.yaml"]
    assert tiny.model_source == zoo.HANDLER
    assert tiny.requirements == "six\n"
    assert set(tiny.files) == {
        "checkpoint.pt",
        "empty/x.txt",
        "golden/case.yaml",
        "handler_model.py",
        "library/a.py",
        "model-config.yaml",
        "model.yaml",
        "requirements.txt",
    }
    assert tiny.files["empty/x.txt"] == FileFacts(size_bytes=2)


def test_models_are_directories_that_are_neither_hidden_nor_start_with_an_underscore(
    registry,
):
    for name in ("b", "a", ".git", "_hosts", "a2"):
        (registry / name).mkdir()
    (registry / "README.md").write_text("")

    assert Checkout(registry).names() == ["a", "a2", "b"]


def test_without_a_registry_there_is_nothing_to_read(tmp_path):
    nowhere = tmp_path / "registry"

    with pytest.raises(RequestError) as caught:
        Checkout(nowhere).names()

    assert str(caught.value) == f"there is no registry at {nowhere}"
    hint = "run ms in a checkout, or name the directory with --registry"
    assert caught.value.hint == hint


@pytest.mark.parametrize("name", ["big", "", ".", "..", "_hosts", "big/golden", "a\0b"])
def test_a_model_that_is_not_there_lists_the_known_ones(registry, tiny, name):
    (registry / "_hosts").mkdir()
    zoo.make_model(registry, "wee")

    with pytest.raises(RequestError) as caught:
        Checkout(registry).read(name)

    assert str(caught.value) == f"there is no model {name!r} in {registry}"
    assert caught.value.hint == "models here: tiny, wee"


def test_a_name_that_is_nearly_right_is_guessed(registry, tiny):
    zoo.make_model(registry, "my_network")

    with pytest.raises(RequestError) as caught:
        Checkout(registry).read("my-network")

    assert caught.value.hint == "did you mean 'my_network'?"


@pytest.mark.parametrize("name", ["tiny/", "registry/tiny/", "./tiny/model.yaml"])
def test_a_path_to_a_model_is_told_from_its_name(registry, tiny, name):
    with pytest.raises(RequestError) as caught:
        Checkout(registry).read(name)

    assert caught.value.hint == "did you mean 'tiny'?"


def test_of_a_large_registry_only_some_names_are_listed(registry):
    for number in range(100, 2000):
        (registry / f"model_{number}").mkdir()

    with pytest.raises(RequestError) as caught:
        Checkout(registry).read("other")

    assert caught.value.hint.startswith("models here: model_100, model_1000, ")
    assert caught.value.hint.endswith(", model_1017 and 1880 more")


def test_an_empty_registry_knows_no_model(registry):
    with pytest.raises(RequestError) as caught:
        Checkout(registry).read("tiny")

    assert caught.value.hint == "models here: none"


def test_a_directory_without_model_yaml_is_a_finding(tiny):
    (tiny / "model.yaml").unlink()

    assert findings(tiny) == [
        finding(
            Code.MISSING_FILE,
            "model.yaml",
            "the directory has no model.yaml",
            fix="write model.yaml; registry/digits has an example",
        )
    ]


def test_findings_of_all_documents_come_at_once(tiny):
    (tiny / "model-config.yaml").write_text("batchSize: 0\nminWorkers: 1\n")
    (tiny / "golden/case.yaml").write_text("schema: 1\nschema: 1\n")
    (tiny / "golden/more.yaml").write_text(zoo.as_yaml(zoo.CASE))

    found = findings(tiny)

    assert [(one.path, one.line, one.code) for one in found] == [
        ("registry/tiny/golden/case.yaml", 2, Code.UNREADABLE),
        ("registry/tiny/model-config.yaml", 1, Code.SHAPE),
        ("registry/tiny/model-config.yaml", 2, Code.SHAPE),
    ]


@pytest.mark.parametrize(
    "path",
    ["model.yaml", "model-config.yaml", "golden/case.yaml", "handler_model.py"],
)
def test_text_that_is_not_utf_8_is_a_finding(tiny, path):
    (tiny / path).write_bytes(b"# gr\xfcn\n")

    assert findings(tiny) == [
        finding(
            Code.UNREADABLE, path, "byte 4 is not UTF-8", fix="save the file as UTF-8"
        )
    ]


def test_a_golden_case_in_a_deeper_directory_is_not_read(tiny):
    (tiny / "golden/deep").mkdir()
    (tiny / "golden/deep/case.yaml").write_text("not a case")

    contribution = read(tiny)

    assert [case.path for case in contribution.golden] == ["golden/case.yaml"]
    assert contribution.findings == ()


def test_the_digests_of_a_file_are_true_and_it_is_read_once(tiny):
    checkout = Checkout(tiny.parent)
    data = os.urandom(3 * 2**20 + 1)
    (tiny / "checkpoint.pt").write_bytes(data)

    first = checkout.digests("tiny", "checkpoint.pt")
    (tiny / "checkpoint.pt").write_bytes(b"other")

    assert first == Digests(
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        crc32=zlib.crc32(data),
        segments=(Segment((Run(0, len(data)),), blake3(data).hexdigest()),),
    )
    assert checkout.digests("tiny", "checkpoint.pt") == first
    assert Checkout(tiny.parent).digests("tiny", "checkpoint.pt") != first


def test_a_file_that_cannot_be_read_is_the_outsides_fault(tiny):
    with pytest.raises(OutsideError) as caught:
        Checkout(tiny.parent).digests("tiny", "none.pt")

    path = tiny / "none.pt"
    assert str(caught.value) == f"{path} cannot be read: No such file or directory"


def git(folder, *arguments):
    identity = (
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "commit.gpgsign=false",
    )
    subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True
    )


def test_the_commit_is_named_only_if_the_registry_is_as_committed(tiny):
    checkout, root = Checkout(tiny.parent), tiny.parent.parent
    outside = checkout.commit()
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "one")
    clean = checkout.commit()
    (root / "elsewhere.txt").write_text("")
    beside = checkout.commit()
    (tiny / "new.txt").write_text("")
    changed = checkout.commit()

    assert outside is None
    assert len(clean) == 40
    assert beside == clean
    assert changed is None
