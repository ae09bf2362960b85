"""What stands where in an archive, and the digest of what went into it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from model_servers.core.layout import (
    HANDLER_FILES,
    HandlerFile,
    ManifestFile,
    Member,
    ModelFile,
    SourceArchive,
    below,
    collisions,
    handler_digest,
    inputs_digest,
    manifest,
    plan_members,
    used_files,
)
from model_servers.core.names import Ref
from model_servers.core.spec import ModelSpec, Serving

FILES = [
    "README.md",
    "checkpoint.pt",
    "golden/case.yaml",
    "handler_model.py",
    "library/__init__.py",
    "library/deep/numbers.py",
    "model-config.yaml",
    "model.yaml",
    "requirements.txt",
]
TINY = Ref.parse("tiny@1.0.0")
ALWAYS = [
    Member("MAR-INF/MANIFEST.json", ManifestFile()),
    Member("MAR-INF/golden/case.yaml", ModelFile("golden/case.yaml")),
    Member("base_handler.py", HandlerFile("base_handler.py")),
    Member("handler_model.py", ModelFile("handler_model.py")),
]
CONFIG = [
    Member("model-config.yaml", ModelFile("model-config.yaml")),
    *(Member(path, HandlerFile(path)) for path in sorted(HANDLER_FILES[1:])),
]
CHECKPOINT = Member("checkpoint.pt", ModelFile("checkpoint.pt"))


def spec(*, golden=None, **build):
    return ModelSpec.from_mapping(zoo.model_document(golden=golden, build=build))


def members(files=FILES, *, archive=None, golden=None, **build):
    serving = Serving(extra_files=(archive,) if archive else ())
    return plan_members(spec(golden=golden, **build), serving, files)


@pytest.mark.parametrize(
    ("build", "archive", "expected"),
    [
        pytest.param(
            {}, None, [CHECKPOINT, *ALWAYS, *CONFIG], id="the checkpoint comes first"
        ),
        pytest.param(
            {"checkpoint_file": None}, None, [*ALWAYS, *CONFIG], id="no checkpoint"
        ),
        pytest.param(
            {"requirements_file": "requirements.txt"},
            None,
            [
                CHECKPOINT,
                *ALWAYS,
                *CONFIG,
                Member("requirements.txt", ModelFile("requirements.txt")),
            ],
            id="requirements",
        ),
        pytest.param(
            {"extra_files": ["library"]},
            None,
            [
                CHECKPOINT,
                *ALWAYS,
                Member("library/__init__.py", ModelFile("library/__init__.py")),
                Member("library/deep/numbers.py", ModelFile("library/deep/numbers.py")),
                *CONFIG,
            ],
            id="extra files keep their directories",
        ),
        pytest.param(
            {"extra_files": ["library"]},
            "source.tar.gz",
            [
                CHECKPOINT,
                *ALWAYS,
                *CONFIG,
                Member(
                    "source.tar.gz",
                    SourceArchive(("library/__init__.py", "library/deep/numbers.py")),
                ),
            ],
            id="extra files travel in the archive that the config names",
        ),
        pytest.param(
            {"extra_files": ["library", "README.md"]},
            "README.md",
            [
                CHECKPOINT,
                *ALWAYS[:2],
                Member("README.md", ModelFile("README.md")),
                *ALWAYS[2:],
                Member("library/__init__.py", ModelFile("library/__init__.py")),
                Member("library/deep/numbers.py", ModelFile("library/deep/numbers.py")),
                *CONFIG,
            ],
            id="an archive that stands ready is packed as it is",
        ),
    ],
)
def test_the_members_of_an_archive(build, archive, expected):
    assert members(archive=archive, **build) == expected


def test_files_named_in_directories_stand_at_the_top_of_the_archive():
    files = ["a/handler.py", "b/weights.pt", "c/config.yaml", "cases/deep/one.yaml"]
    build = {
        "model_file": "a/handler.py",
        "checkpoint_file": "b/weights.pt",
        "config_file": "c/config.yaml",
    }

    found = members(files, golden="cases/deep", **build)

    assert [member.path for member in found] == [
        "weights.pt",
        "MAR-INF/MANIFEST.json",
        "MAR-INF/golden/one.yaml",
        "base_handler.py",
        "config.yaml",
        "handler.py",
        *sorted(HANDLER_FILES[1:]),
    ]


@given(st.permutations(FILES))
def test_the_order_in_which_files_are_listed_does_not_matter(files):
    build = {"extra_files": ["library"], "requirements_file": "requirements.txt"}

    for archive in (None, "source.tar"):
        found = members(files, archive=archive, **build)
        assert found == members(archive=archive, **build)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("a.py", ["a.py"], id="a file"),
        pytest.param("lib", ["lib/b.py", "lib/deep/c.py"], id="a directory"),
        pytest.param("lib/", ["lib/b.py", "lib/deep/c.py"], id="with its slash"),
        pytest.param("li", [], id="the beginning of a name is no directory"),
        pytest.param("none", [], id="nothing"),
    ],
)
def test_below_a_path_is_the_file_itself_or_what_is_in_it(path, expected):
    files = [
        "a.py",
        "lib/.DS_Store",
        "lib/__pycache__/b.cpython-310.pyc",
        "lib/b.py",
        "lib/deep/c.py",
        "lib/old.pyc",
        "lib2/d.py",
    ]

    assert below(path, files) == expected


@pytest.mark.parametrize(
    ("files", "build", "expected"),
    [
        pytest.param(
            ["extra/handler_model.py"],
            {"extra_files": ["handler_model.py"]},
            [("handler_model.py", [ModelFile("handler_model.py")] * 2)],
            id="a file listed twice",
        ),
        pytest.param(
            ["weights/base_handler.py"],
            {"checkpoint_file": "weights/base_handler.py"},
            [
                (
                    "base_handler.py",
                    [
                        ModelFile("weights/base_handler.py"),
                        HandlerFile("base_handler.py"),
                    ],
                )
            ],
            id="the shared handler's name",
        ),
        *(
            pytest.param(
                [own],
                {"extra_files": [own.split("/")[0]]},
                [
                    (
                        "model_servers_handler",
                        [HandlerFile("model_servers_handler"), ModelFile(own)],
                    )
                ],
                id=f"the shared handler's package: {title}",
            )
            for title, own in {
                "another file": "model_servers_handler/own.py",
                "one of its files": "model_servers_handler/errors.py",
                "deep in it": "Model_Servers_Handler/deep/own.py",
                "a file of its name": "model_servers_handler",
            }.items()
        ),
        pytest.param(
            ["mar-inf/manifest.json"],
            {"extra_files": ["mar-inf"]},
            [
                (
                    "MAR-INF/MANIFEST.json",
                    [ManifestFile(), ModelFile("mar-inf/manifest.json")],
                )
            ],
            id="the same but for its case",
        ),
        pytest.param(["library/a.py"], {"extra_files": ["library"]}, [], id="none"),
    ],
)
def test_members_with_one_path_are_a_collision(files, build, expected):
    found = members([*FILES, *files], **build)

    assert list(collisions(found)) == expected


def test_an_archive_that_stands_ready_travels_beside_the_one_that_is_made():
    build = {"extra_files": ["library", "ready.zip"]}

    found = plan_members(
        spec(**build),
        Serving(extra_files=("ready.zip", "made.tar")),
        ["library/a.py", "ready.zip"],
    )

    assert Member("ready.zip", ModelFile("ready.zip")) in found
    assert Member("made.tar", SourceArchive(("library/a.py",))) in found


@pytest.mark.parametrize("archive", [None, "source.tar"])
def test_used_files_are_those_whose_bytes_are_packed(archive):
    found = members(archive=archive, extra_files=["library"])

    assert used_files(found) == [
        "checkpoint.pt",
        "golden/case.yaml",
        "handler_model.py",
        "library/__init__.py",
        "library/deep/numbers.py",
        "model-config.yaml",
    ]


def digest(files=None, *, ref=TINY, archive=None, **build):
    """Digest the default model, where a file's digest is its path or as given."""
    contents = {path: path for path in FILES} | (files or {})
    return inputs_digest(ref, members(contents, archive=archive, **build), contents)


PLAIN = {"extra_files": ["library"]}


@pytest.mark.parametrize(
    ("arguments", "is_same"),
    [
        pytest.param({**PLAIN}, True, id="nothing changed"),
        pytest.param({**PLAIN, "files": {"README.md": "x"}}, True, id="the card"),
        pytest.param({**PLAIN, "files": {"train.py": "x"}}, True, id="unused files"),
        pytest.param({**PLAIN, "files": {"model.yaml": "x"}}, True, id="model.yaml"),
        pytest.param({**PLAIN, "files": {"checkpoint.pt": "x"}}, False, id="weights"),
        pytest.param(
            {**PLAIN, "files": {"golden/case.yaml": "x"}}, False, id="a golden case"
        ),
        pytest.param(
            {**PLAIN, "files": {"golden/new.yaml": "x"}}, False, id="a new golden case"
        ),
        pytest.param(
            {**PLAIN, "files": {"library/__init__.py": "x"}}, False, id="a source"
        ),
        pytest.param(
            {**PLAIN, "files": {"library/new.py": "x"}}, False, id="a new source"
        ),
        pytest.param(
            {**PLAIN, "files": {"model-config.yaml": "x"}}, False, id="the config"
        ),
        pytest.param({**PLAIN, "archive": "a.tar"}, False, id="another way to travel"),
        pytest.param({**PLAIN, "ref": Ref.parse("tiny@1.0")}, False, id="the version"),
        pytest.param({**PLAIN, "ref": Ref.parse("puny@1.0.0")}, False, id="the name"),
    ],
)
def test_the_inputs_digest_changes_with_what_is_packed_only(arguments, is_same):
    changed = digest(**arguments)

    assert (changed == digest(**PLAIN)) == is_same


def test_a_source_in_an_archive_is_an_input_by_its_path_and_bytes():
    def of(files):
        return digest(files, archive="a.tar", extra_files=["library"])

    one = of({"library/one.py": "x"})

    assert of({"library/one.py": "x"}) == one
    assert of({"library/one.py": "y"}) != one
    assert of({"library/two.py": "x"}) != one


def test_the_inputs_digest_never_changes_between_versions_of_this_tool():
    """Published versions would look changed; pinned by its value."""
    expected = "b942458d694e5b3c411c17b423f3012d4b348a2d1331f1f0cabda664461d4e2d"

    assert digest(**PLAIN) == expected


def test_the_handlers_digest_changes_with_every_path_and_byte():
    digests = {"base_handler.py": "aa", "model_servers_handler/files.py": "bb"}
    others = [
        {**digests, "base_handler.py": "cc"},
        {"base_handler.py": "aa", "model_servers_handler/other.py": "bb"},
        {"base_handler.py": "aa"},
    ]

    assert handler_digest(dict(reversed(digests.items()))) == handler_digest(digests)
    assert len({handler_digest(each) for each in [digests, *others]}) == 4


def test_the_manifest_says_where_torchserve_starts_and_what_was_packed():
    facts = manifest(
        spec(requirements_file="deep/requirements.txt", config_file="a/config.yaml"),
        inputs_digest="aa",
        handler_digest="bb",
    )

    assert facts == {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "model": {
            "modelName": "tiny",
            "modelVersion": "1.0.0",
            "handler": "base_handler:handle",
            "modelFile": "handler_model.py",
            "serializedFile": "checkpoint.pt",
            "configFile": "config.yaml",
            "requirementsFile": "requirements.txt",
        },
        "archiverVersion": "model-servers 1",
        "modelServers": {"inputsDigest": "aa", "handlerDigest": "bb"},
    }


def test_the_manifest_is_silent_about_what_a_model_has_not():
    facts = manifest(spec(checkpoint_file=None), inputs_digest="", handler_digest="")

    assert facts["model"].keys() == {
        "modelName",
        "modelVersion",
        "handler",
        "modelFile",
        "configFile",
    }


@pytest.mark.parametrize(
    ("paths", "collides"),
    [
        pytest.param(["model.py", "handler_model.py"], True, id="the model file"),
        pytest.param(["base_handler.py"], True, id="the shared handler"),
        pytest.param(["model_servers_handler/own.py"], True, id="in its package"),
        pytest.param(["a", "a/b.py"], True, id="a file and a directory"),
        pytest.param(["a/b.py", "a/c.py"], False, id="one directory"),
    ],
)
def test_what_a_source_archive_unpacks_counts_as_claimed(paths, collides):
    members = [
        Member("base_handler.py", HandlerFile("base_handler.py")),
        Member("handler_model.py", ModelFile("handler_model.py")),
        Member("source.tar.gz", SourceArchive(tuple(paths))),
    ]

    assert bool(list(collisions(members))) is collides
