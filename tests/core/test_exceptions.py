"""Exceptions that model.yaml declares: what they cover, until when, and what never."""

import pytest

import zoo
from model_servers.core.codes import Code, Severity
from model_servers.core.contribution import Contribution, Document
from model_servers.core.exceptions import can_be_excepted, excepted
from model_servers.core.findings import Finding

ROOT = "registry/tiny"
TODAY = "2027-01-15"
UNUSED = Finding(path=f"{ROOT}/data/labels.txt", code=Code.UNUSED_FILE, message="idle")
OTHER = Finding(path=f"{ROOT}/notes.csv", code=Code.UNUSED_FILE, message="idle")


def exception(code="MS026", until="2027-12-31", **more):
    return {"code": code, "reason": "clients read it", "until": until, **more}


def result(findings, *exceptions, today=TODAY):
    """Give codes with their state, as a user would see them."""
    data = zoo.model_document(exceptions=list(exceptions))
    places = {f"exceptions[{i}]": (20 + i, 5) for i in range(len(exceptions))}
    model = Document(path="model.yaml", data=data, places=places)
    contribution = Contribution(name="tiny", root=ROOT, files={}, model=model)
    return [
        (one.path.removeprefix(f"{ROOT}/"), one.code, one.excepted_because)
        for one in excepted(findings, contribution, today=today)
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("data/labels.txt", id="the file"),
        pytest.param("data", id="its directory"),
        pytest.param("data/", id="its directory, with a slash"),
        pytest.param("./data", id="not plain"),
    ],
)
def test_an_exception_covers_the_file_or_directory_that_it_names(path):
    assert result([UNUSED, OTHER], exception(path=path)) == [
        ("data/labels.txt", Code.UNUSED_FILE, "clients read it"),
        ("notes.csv", Code.UNUSED_FILE, ""),
    ]


def test_without_a_path_it_covers_every_file():
    assert {why for _, _, why in result([UNUSED, OTHER], exception())} == {
        "clients read it"
    }


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(exception("MS029"), id="another code"),
        pytest.param(exception(path="dat"), id="half a name"),
        pytest.param(exception(path="labels.txt"), id="another directory"),
    ],
)
def test_an_exception_that_matches_nothing_is_a_hint(other):
    assert result([UNUSED], other) == [
        ("data/labels.txt", Code.UNUSED_FILE, ""),
        ("model.yaml", Code.UNUSED_EXCEPTION, ""),
    ]


@pytest.mark.parametrize(
    ("until", "codes"),
    [
        pytest.param("2027-01-16", [Code.UNUSED_FILE], id="tomorrow"),
        pytest.param("2027-01-15", [Code.UNUSED_FILE], id="its last day"),
        pytest.param(
            "2027-01-14",
            [Code.UNUSED_FILE, Code.EXPIRED_EXCEPTION],
            id="the day after",
        ),
    ],
)
def test_an_exception_holds_until_the_end_of_its_last_day(until, codes):
    found = result([UNUSED], exception(until=until))

    assert [code for _, code, _ in found] == codes
    assert bool(found[0][2]) == (len(codes) == 1)


def test_an_expired_exception_from_nothing_is_only_unused():
    (only,) = result([], exception(until="2020-01-01"))

    assert only[1] is Code.UNUSED_EXCEPTION


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(exception("MS080"), "MS080 cannot be excepted", id="never"),
        pytest.param(
            exception("MS099"), "there is no kind of finding MS099", id="unknown"
        ),
        pytest.param(
            exception(until="2027-13-01"),
            "until is '2027-13-01', expected",
            id="no day",
        ),
    ],
)
def test_what_cannot_be_excepted_is_a_finding(wrong, message):
    data = zoo.model_document(exceptions=[wrong])
    model = Document(path="model.yaml", data=data, places={"exceptions[0]": (20, 5)})
    contribution = Contribution(name="tiny", root=ROOT, files={}, model=model)
    secret = Finding(path=f"{ROOT}/a.py", code=Code.SECRET, message="a key")

    still, found = excepted([secret], contribution, today=TODAY)

    assert still == secret
    assert (found.code, found.line, found.column) == (Code.NOT_EXCEPTED, 20, 5)
    assert message in found.message


def test_hints_can_be_excepted_and_errors_only_where_one_model_may_be_right():
    errors = {code for code in Code if code.severity is Severity.ERROR}
    about_exceptions = {Code.UNUSED_EXCEPTION}

    allowed = {code for code in Code if can_be_excepted(code)}

    assert allowed & errors == {Code.TWIN, Code.SHADOWED, Code.REQUIREMENTS}
    assert set(Code) - errors - allowed == about_exceptions


def test_an_exception_from_an_error_lets_the_model_pass():
    shadowed = Finding(path=f"{ROOT}/six.py", code=Code.SHADOWED, message="hides six")
    ((_, _, why),) = result([shadowed], exception("MS031"))

    assert why == "clients read it"
