"""Rules about meaning: each finding has its code, place, message and fix."""

from dataclasses import replace

import pytest

import zoo
from model_servers.core.contribution import Contribution, Document, FileFacts
from model_servers.core.findings import Code, Finding
from model_servers.core.rules import check, is_case

ROOT = "registry/tiny"
SIZE = 10
FILES = ("checkpoint.pt", "golden/case.yaml", "handler_model.py", "model-config.yaml")
SHA256 = "ab" * 32
LETTERS = (
    "it must be lower-case letters and digits, joined by single _ or -, a letter first"
)


def contribution(*, files=(), without=(), model=None, config=None, **parts):
    """Give a contribution without findings, but for the arguments."""
    names = {*FILES, *files} - set(without)
    facts = {
        "name": "tiny",
        "root": ROOT,
        "files": {name: FileFacts(size_bytes=SIZE) for name in names},
        "model": document("model.yaml", zoo.model_document(**model or {})),
        "config": document("model-config.yaml", zoo.config_document(**config or {})),
        "model_source": zoo.HANDLER,
    }
    return Contribution(**{**facts, **parts})


def document(path, data, places=None):
    return Document(path=path, data=data, places=places or {})


def case(**request):
    data = zoo.changed(zoo.CASE, {"request": request})
    return document("golden/case.yaml", data, {"request.file": (4, 3)})


def found(contribution):
    return check(contribution, lambda path: SHA256)


def finding(code, message, *, path="model.yaml", where="", fix="", **place):
    return Finding(
        path=f"{ROOT}/{path}",
        where=where,
        code=code,
        message=message,
        fix=fix,
        **place,
    )


EXTRA = {"build": {"extra_files": ["library"]}}
SYSTEM = {"system": {"extraFiles": "library.tar.gz"}}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({}, id="plain"),
        pytest.param(
            {
                "without": ["checkpoint.pt"],
                "model": {"build": {"checkpoint_file": None}},
            },
            id="no checkpoint",
        ),
        pytest.param(
            {"files": ["library/a.py"], "model": EXTRA, "config": SYSTEM},
            id="an archive of sources to be made",
        ),
        pytest.param(
            {
                "files": ["library.zip"],
                "model": {"build": {"extra_files": ["library.zip"]}},
                "config": {"system": {"extraFiles": "library.zip"}},
            },
            id="an archive that stands ready",
        ),
        pytest.param(
            {"files": ["library/a.py"], "model": EXTRA}, id="extra files, as they are"
        ),
        pytest.param(
            {"model": {"checkpoint": {"sha256": SHA256, "size": SIZE}}},
            id="the declared checkpoint",
        ),
        pytest.param(
            {"golden": (case(json=None, file="cat.png"),), "files": ["golden/cat.png"]},
            id="a request in a file",
        ),
        pytest.param(
            {"requirements": "# torch\nnumpy==2.2.6\ntorchmetrics==1.4.0 # a\n"},
            id="requirements",
        ),
        pytest.param(
            {"model_source": "import base_handler as b\nb.handler_factory()\n"},
            id="the factory by its module",
        ),
        pytest.param({"config": None, "model": None}, id="defaults"),
    ],
)
def test_a_contribution_that_makes_sense_has_no_findings(parts):
    assert found(contribution(**parts)) == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(
            {"model": {"name": "big"}},
            [
                finding(
                    Code.NAME,
                    "name is 'big', but the directory is 'tiny'",
                    where="name",
                    fix="write `name: tiny` or rename the directory",
                )
            ],
            id="another name than the directory's",
        ),
        pytest.param(
            {"name": "Tiny", "model": {"name": "Tiny"}},
            [
                finding(
                    Code.NAME,
                    f"'Tiny' cannot name a model: {LETTERS}",
                    where="name",
                    fix="choose another name, such as tiny, and rename the directory "
                    "to it",
                )
            ],
            id="a name that is not allowed",
        ),
        pytest.param(
            {"without": ["checkpoint.pt"]},
            [
                finding(
                    Code.MISSING_FILE,
                    f"'checkpoint.pt' does not exist in {ROOT}",
                    where="build.checkpoint_file",
                    fix="add the file, or correct the path",
                )
            ],
            id="a file that is not there",
        ),
        pytest.param(
            {"model": EXTRA},
            [
                finding(
                    Code.MISSING_FILE,
                    f"'library' does not exist in {ROOT}",
                    where="build.extra_files[0]",
                    fix="add the file, or correct the path",
                )
            ],
            id="an extra file that is not there",
        ),
        *(
            pytest.param(
                {"model": {"build": {"extra_files": [path]}}},
                [
                    finding(
                        Code.OUTSIDE_MODEL,
                        f"{path!r} leaves the model's directory",
                        where="build.extra_files[0]",
                        fix=f"copy the file into {ROOT}/ and name it here",
                    )
                ],
                id=f"the path {path} leaves",
            )
            for path in ("../other/a.py", "/etc/passwd", "..", ".", "a/../../b")
        ),
        *(
            pytest.param(
                {
                    "files": ["library/a.py"],
                    "model": {"build": {"extra_files": [path]}},
                },
                [
                    finding(
                        Code.SHAPE,
                        f"found the path {path!r}, expected 'library'",
                        where="build.extra_files[0]",
                        fix="write library",
                    )
                ],
                id=f"the path {path} is not plain",
            )
            for path in ("library/", "./library", "library/../library")
        ),
        pytest.param(
            {"model": {"golden": "golden/"}},
            [
                finding(
                    Code.SHAPE,
                    "found the path 'golden/', expected 'golden'",
                    where="golden",
                    fix="write golden",
                ),
            ],
            id="a golden directory with a slash",
        ),
        pytest.param(
            {"model_source": "print('hello')\n"},
            [
                finding(
                    Code.NO_HANDLER,
                    "the model file never calls handler_factory",
                    path="handler_model.py",
                    fix="end it with "
                    "`handler = handler_factory(init_function=init_function)`",
                )
            ],
            id="no handler",
        ),
        pytest.param(
            {"model_source": "x = 1\ndef f(:\n"},
            [
                finding(
                    Code.NO_HANDLER,
                    "the model file is not Python: invalid syntax",
                    path="handler_model.py",
                    line=2,
                    fix="correct the syntax",
                )
            ],
            id="no Python",
        ),
        pytest.param(
            {
                "model": {"build": {"requirements_file": "requirements.txt"}},
                "files": ["requirements.txt"],
                "requirements": "numpy==2.2.6\n torch >= 2\nTorchVision==1\n",
            },
            [
                finding(
                    Code.REQUIREMENTS,
                    f"{name} is brought by the serving environment",
                    path="requirements.txt",
                    line=line,
                    fix="remove the line",
                )
                for line, name in ((2, "torch"), (3, "torchvision"))
            ],
            id="requirements that the host brings",
        ),
        pytest.param(
            {"model": {"checkpoint": {"sha256": SHA256, "size": 11}}},
            [
                finding(
                    Code.CHECKPOINT,
                    "'checkpoint.pt' has 10 bytes, model.yaml declares 11",
                    where="checkpoint.size",
                    fix="restore the checkpoint, or declare its size: ms lock tiny",
                )
            ],
            id="a checkpoint of another size",
        ),
        pytest.param(
            {"model": {"checkpoint": {"sha256": "00" * 32, "size": SIZE}}},
            [
                finding(
                    Code.CHECKPOINT,
                    f"'checkpoint.pt' has sha256 {SHA256}, model.yaml declares "
                    + "00" * 32,
                    where="checkpoint.sha256",
                    fix="restore the checkpoint, or declare its sha256: ms lock tiny",
                )
            ],
            id="another checkpoint",
        ),
        pytest.param(
            {"without": ["golden/case.yaml"]},
            [
                finding(
                    Code.GOLDEN,
                    "there is no golden case in 'golden'",
                    fix="record a request and its answer in golden/<case>.yaml: "
                    "ms golden tiny --add CASE --body JSON",
                )
            ],
            id="no golden case",
        ),
        pytest.param(
            {"files": ["golden/other.yml"]},
            [
                finding(
                    Code.GOLDEN,
                    "the case does not end in .yaml, so nobody asks it",
                    path="golden/other.yml",
                    fix="rename it to golden/other.yaml",
                )
            ],
            id="a golden case with another ending",
        ),
        pytest.param(
            {"files": ["golden/deep/case.yaml"]},
            [
                finding(
                    Code.GOLDEN,
                    "the case is not directly in 'golden', so nobody asks it",
                    path="golden/deep/case.yaml",
                    fix=f"move it to {ROOT}/golden/",
                )
            ],
            id="a golden case that no host would see",
        ),
        pytest.param(
            {"golden": (case(json=None, file="cat.png"),)},
            [
                finding(
                    Code.GOLDEN,
                    "'cat.png' does not stand beside the case",
                    path="golden/case.yaml",
                    where="request.file",
                    line=4,
                    column=3,
                    fix=f"add {ROOT}/golden/cat.png, or correct the name",
                )
            ],
            id="a golden case without its request",
        ),
        pytest.param(
            {"config": SYSTEM},
            [
                finding(
                    Code.EXTRA_FILES,
                    "build.extra_files lists nothing for system.extraFiles "
                    "'library.tar.gz'",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="list the files of the archive in build.extra_files of "
                    "model.yaml",
                )
            ],
            id="an archive of nothing",
        ),
        pytest.param(
            {
                "files": ["library/a.py", "library.tar.gz"],
                "model": EXTRA,
                "config": SYSTEM,
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "'library.tar.gz' exists, but build.extra_files does not list it",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="list library.tar.gz in build.extra_files, or delete it to "
                    "have it built",
                )
            ],
            id="an archive that would be left out",
        ),
        pytest.param(
            {
                "files": ["library/a.py"],
                "model": EXTRA,
                "config": {"system": {"extraFiles": "library.zip"}},
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "the build cannot make 'library.zip'; it makes .tar.gz, .tgz, .tar",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="add library.zip to the directory, or name a .tar.gz",
                )
            ],
            id="an archive that cannot be made",
        ),
        pytest.param(
            {
                "files": ["library/a.py"],
                "model": EXTRA,
                "config": {"system": {"extraFiles": ["a.tar", "b.tar"]}},
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "a.tar, b.tar do not exist; the build makes at most one archive",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="name one archive for build.extra_files, or add the others",
                )
            ],
            id="two archives to be made",
        ),
        pytest.param(
            {
                "files": ["library.tar.gz"],
                "model": {"build": {"extra_files": ["library.tar.gz"]}},
                "config": {"system": {"extraFiles": "test.tar.gz"}},
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "'test.tar.gz' does not exist, and would be an archive of "
                    "library.tar.gz",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="name library.tar.gz in system.extraFiles",
                )
            ],
            id="an archive of another name",
        ),
        pytest.param(
            {"model": {"build": {"extra_files": ["handler_model.py"]}}},
            [
                finding(
                    Code.COLLISION,
                    "'handler_model.py' would stand 2 times in the archive: from "
                    "handler_model.py and handler_model.py",
                    where="build",
                    fix="rename one of the files",
                )
            ],
            id="two files in one place",
        ),
        pytest.param(
            {
                "files": ["base_handler.py", "mar-inf/MANIFEST.json", "source.py"],
                "model": {"build": {"extra_files": ["base_handler.py", "mar-inf"]}},
            },
            [
                finding(
                    Code.COLLISION,
                    "'MAR-INF/MANIFEST.json' would stand 2 times in the archive: from "
                    "the manifest and mar-inf/MANIFEST.json",
                    where="build",
                    fix="rename one of the files",
                ),
                finding(
                    Code.COLLISION,
                    "'base_handler.py' would stand 2 times in the archive: from "
                    "the shared handler and base_handler.py",
                    where="build",
                    fix="rename one of the files",
                ),
            ],
            id="places that are taken",
        ),
        pytest.param(
            {
                "files": ["model_servers_handler/errors.py"],
                "model": {"build": {"extra_files": ["model_servers_handler"]}},
            },
            [
                finding(
                    Code.COLLISION,
                    "'model_servers_handler' would stand 2 times in the archive: from "
                    "the shared handler and model_servers_handler/errors.py",
                    where="build",
                    fix="rename one of the files",
                )
            ],
            id="the shared handler's package",
        ),
        pytest.param(
            {
                "files": ["a/x.tar", "library/a.py"],
                "model": {
                    "build": {
                        "extra_files": ["library"],
                        "requirements_file": "a/x.tar",
                    }
                },
                "config": {"system": {"extraFiles": "x.tar"}},
            },
            [
                finding(
                    Code.COLLISION,
                    "'x.tar' would stand 2 times in the archive: from "
                    "a/x.tar and system.extraFiles",
                    where="build",
                    fix="rename one of the files",
                )
            ],
            id="the archive of sources and a file",
        ),
    ],
)
def test_what_makes_no_sense_is_found(parts, expected):
    assert found(contribution(**parts)) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(
            "x = 1\n\0",
            "source code string cannot contain null bytes",
            id="a zero byte",
        ),
        pytest.param("-" * 20_000 + "1", "it is nested too deeply", id="minus signs"),
        pytest.param(
            "1" + "+1" * 100_000,
            "maximum recursion depth exceeded during ast construction",
            id="a long sum",
        ),
    ],
)
def test_a_source_that_python_cannot_parse_is_a_finding_and_no_crash(source, reason):
    (one,) = found(contribution(model_source=source))

    assert one.code is Code.NO_HANDLER
    assert one.message == f"the model file is not Python: {reason}"


def test_a_link_out_of_the_model_is_found_where_it_would_be_packed():
    files = {name: FileFacts(size_bytes=SIZE) for name in FILES}
    away = FileFacts(size_bytes=SIZE, leaves_model=True)

    packed = contribution()
    packed = replace(packed, files={**files, "checkpoint.pt": away})
    unused = replace(packed, files={**files, "NOTICE": away})

    assert found(packed) == [
        finding(
            Code.OUTSIDE_MODEL,
            "the file is a link to a directory, or out of the model's directory",
            path="checkpoint.pt",
            fix="replace the link by a copy",
        )
    ]
    assert found(unused) == []


def test_all_findings_come_at_once_by_file_and_place():
    shape = finding(Code.SHAPE, "key 'summary' is missing", path="model-config.yaml")
    places = {"name": (2, 1), "build.checkpoint_file": (9, 3)}
    data = zoo.model_document(name="big")
    wrong = contribution(
        without=["checkpoint.pt"],
        model_source="",
        findings=(shape,),
        config=None,
    )

    several = found(replace(wrong, model=document("model.yaml", data, places)))

    assert [(str(one).split(":", 1)[0], one.line, one.code) for one in several] == [
        (f"{ROOT}/handler_model.py", None, Code.NO_HANDLER),
        (f"{ROOT}/model-config.yaml", None, Code.SHAPE),
        (f"{ROOT}/model.yaml", 2, Code.NAME),
        (f"{ROOT}/model.yaml", 9, Code.MISSING_FILE),
    ]


def test_without_a_model_yaml_only_what_reading_found_is_said():
    shape = finding(Code.SHAPE, "key 'summary' is missing")

    unread = replace(contribution(without=FILES), model=None, findings=(shape,))

    assert found(unread) == [shape]


def test_without_a_config_everything_else_is_still_checked():
    half = replace(contribution(without=["checkpoint.pt"]), config=None)

    assert [one.code for one in found(half)] == [Code.MISSING_FILE]


def test_a_checkpoint_is_hashed_only_where_its_digest_is_declared():
    hashed = []

    def digest(path):
        hashed.append(path)
        return SHA256

    check(contribution(), digest)
    assert hashed == []
    check(contribution(model={"checkpoint": {"sha256": SHA256, "size": 99}}), digest)
    assert hashed == []
    check(contribution(model={"checkpoint": {"sha256": SHA256, "size": SIZE}}), digest)
    assert hashed == ["checkpoint.pt"]


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        pytest.param("golden/case.yaml", True, id="in the directory"),
        pytest.param("golden/cat.png", False, id="another kind of file"),
        pytest.param("golden/deep/case.yaml", False, id="deeper"),
        pytest.param("case.yaml", False, id="beside it"),
    ],
)
def test_a_case_stands_directly_in_the_golden_directory(path, is_one):
    assert is_case(path, "golden") == is_one


def test_a_finding_reads_as_a_line_that_editors_follow():
    one = finding(Code.NAME, "it is wrong", where="name", line=2, column=7)

    assert str(one) == f"{ROOT}/model.yaml:2:7: name: MS010 it is wrong"
    bare = finding(Code.GOLDEN, "it is wrong")
    assert str(bare) == f"{ROOT}/model.yaml: MS060 it is wrong"


def test_codes_keep_their_meaning():
    assert {code.name: code.value for code in Code} == {
        "UNREADABLE": "MS001",
        "SHAPE": "MS002",
        "TOO_NEW": "MS003",
        "NOT_EXCEPTED": "MS004",
        "EXPIRED_EXCEPTION": "MS005",
        "UNUSED_EXCEPTION": "MS006",
        "NAME": "MS010",
        "TWIN": "MS011",
        "MISSING_FILE": "MS020",
        "OUTSIDE_MODEL": "MS021",
        "COLLISION": "MS022",
        "EXTRA_FILES": "MS023",
        "HANDLER_OPTION": "MS024",
        "CONTRADICTION": "MS025",
        "UNUSED_FILE": "MS026",
        "TIMEOUT": "MS027",
        "BATCH_DELAY": "MS028",
        "DEAD_LINK": "MS029",
        "NO_HANDLER": "MS030",
        "SHADOWED": "MS031",
        "NOT_IMPORTABLE": "MS032",
        "NOT_CALLABLE": "MS033",
        "REQUIREMENTS": "MS040",
        "UNPINNED": "MS041",
        "REQUIREMENT_OPTION": "MS042",
        "CHECKPOINT": "MS050",
        "UNSAFE_CHECKPOINT": "MS051",
        "LARGE_FILE": "MS052",
        "WRONG_WEIGHTS": "MS053",
        "UNREADABLE_CHECKPOINT": "MS054",
        "ORIGIN": "MS055",
        "GOLDEN": "MS060",
        "UNRECORDED": "MS061",
        "INPUTS_CHANGED": "MS070",
        "VERSION_FELL": "MS071",
        "CHANNEL_AHEAD": "MS072",
        "CHANNEL_YANKED": "MS073",
        "SECRET": "MS080",
        "ABSOLUTE_PATH": "MS081",
        "GPU_MEMORY": "MS082",
        "CLIENT_TIMEOUT": "MS083",
        "IGNORED_SECTION": "MS084",
    }
