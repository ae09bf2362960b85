"""The check of a contribution: what it leaves in peace, and how findings come."""

from dataclasses import replace

import pytest

import zoo
from core.contributions import (
    EXTRA,
    FILES,
    ROOT,
    SHA256,
    SIZE,
    SYSTEM,
    case,
    contribution,
    document,
    finding,
    found,
)
from model_servers.core.contribution import FileFacts
from model_servers.core.findings import Code
from model_servers.core.rules import check, is_case


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
