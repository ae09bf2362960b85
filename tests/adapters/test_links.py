"""Links in a model: followed within it, and found where they leave it."""

import os

import pytest

import zoo
from adapters.checkouts import finding, findings, read
from model_servers.core.contribution import FileFacts
from model_servers.core.findings import Code


@pytest.fixture
def tiny(tmp_path):
    return zoo.make_model(tmp_path / "registry")


AWAY = "the file is a link to a directory, or out of the model's directory"
COPY = "replace the link by a copy"


def linked(tiny, path, target):
    """Put a link in the place of whatever is at *path*."""
    file = tiny / path
    file.unlink(missing_ok=True)
    file.symlink_to(target)


def test_a_link_to_another_file_of_the_model_is_that_file(tiny):
    (tiny / "weights.bin").write_bytes(zoo.CHECKPOINT)
    linked(tiny, "checkpoint.pt", "weights.bin")

    assert findings(tiny) == []
    assert read(tiny).files["checkpoint.pt"] == FileFacts(
        size_bytes=2048, link_to="weights.bin"
    )


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("../../secret", id="relative"),
        pytest.param("golden/../../../secret", id="through a directory"),
        pytest.param("/etc/hostname", id="absolute"),
        pytest.param("/nowhere/at/all", id="dangling"),
    ],
)
def test_a_link_out_of_the_model_is_a_finding_and_is_not_read(tiny, target):
    (tiny.parent.parent / "secret").write_text("secret")
    linked(tiny, "checkpoint.pt", target)

    assert findings(tiny) == [
        finding(Code.OUTSIDE_MODEL, "checkpoint.pt", AWAY, fix=COPY)
    ]


@pytest.mark.parametrize("path", ["model-config.yaml", "handler_model.py"])
def test_a_document_outside_is_not_read(tiny, path):
    secret = tiny.parent.parent / "secret"
    secret.write_text("batchSize: secret\nhandler_factory()\n")
    linked(tiny, path, secret)

    contribution = read(tiny)

    assert contribution.files[path].leaves_model
    assert (contribution.config is None) == (path == "model-config.yaml")
    assert (contribution.model_source is None) == (path == "handler_model.py")
    assert contribution.findings == ()


def test_a_directory_link_out_of_the_model_is_a_finding_and_not_followed(tiny):
    elsewhere = tiny.parent.parent / "elsewhere"
    zoo.make_model(elsewhere, "library")
    (tiny / "library").symlink_to(elsewhere / "library")
    document = zoo.model_document(build={"extra_files": ["library"]})
    (tiny / "model.yaml").write_text(zoo.as_yaml(document))

    assert findings(tiny) == [finding(Code.OUTSIDE_MODEL, "library", AWAY, fix=COPY)]


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("nothing.pt", id="dangling"),
        pytest.param("checkpoint.pt", id="to itself"),
    ],
)
def test_a_link_to_no_file_of_the_model_is_a_missing_file(tiny, target):
    linked(tiny, "checkpoint.pt", target)

    assert findings(tiny) == [
        finding(
            Code.DEAD_LINK,
            "checkpoint.pt",
            "the link leads to nothing, or to itself",
            fix="correct the link, or delete it",
        ),
        finding(
            Code.MISSING_FILE,
            "model.yaml",
            "'checkpoint.pt' does not exist in registry/tiny",
            where="build.checkpoint_file",
            line=11,
            column=3,
            fix="add the file, or correct the path",
        ),
    ]


def test_a_link_to_a_directory_of_the_model_is_a_finding(tiny):
    linked(tiny, "checkpoint.pt", "golden")

    assert findings(tiny) == [
        finding(Code.OUTSIDE_MODEL, "checkpoint.pt", AWAY, fix=COPY)
    ]


def test_a_model_that_is_a_link_is_a_finding(tiny):
    elsewhere = tiny.parent.parent / "elsewhere"
    tiny.rename(elsewhere)
    tiny.symlink_to(elsewhere)

    assert [(found.path, found.code) for found in findings(tiny)] == [
        ("registry/tiny", Code.OUTSIDE_MODEL)
    ]


def test_a_file_name_that_is_not_text_is_a_finding(tiny):
    (tiny / "golden" / os.fsdecode(b"\xff.yaml")).write_text("")

    assert [(found.code, found.message) for found in findings(tiny)] == [
        (Code.UNREADABLE, "the file's name is not UTF-8")
    ]


def test_links_in_a_ring_are_dead_and_end_nothing(tiny):
    (tiny / "one").symlink_to("two")
    (tiny / "two").symlink_to("one")

    assert [(found.path, found.code) for found in findings(tiny)] == [
        ("registry/tiny/one", Code.DEAD_LINK),
        ("registry/tiny/two", Code.DEAD_LINK),
    ]


def test_what_is_no_regular_file_is_not_listed(tiny):
    os.mkfifo(tiny / "pipe")

    assert "pipe" not in read(tiny).files


def test_a_registry_that_is_itself_reached_through_a_link_is_fine(tiny, tmp_path):
    linked_registry = tmp_path / "link"
    linked_registry.symlink_to(tiny.parent)

    assert findings(linked_registry / "tiny") == []
