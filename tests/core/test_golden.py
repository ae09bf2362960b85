"""Golden cases: how answers are compared, and what is said about differences."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.core.golden import GoldenCase, Request, Tolerance

NAN, INF = math.nan, math.inf
HUGE = 10**400
"""An integer beyond every float."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def case(expected, **tolerance):
    return GoldenCase(
        name="case",
        request=Request(content_type="application/json", body=b"[]"),
        expected=expected,
        tolerance={device: Tolerance(**at) for device, at in tolerance.items()},
    )


def differences(expected, found, **tolerance):
    answer = json.dumps(found).encode()
    return case(expected, **tolerance).differences(answer, device="cpu")


NEAR = {"absolute": 0.1, "relative": 0.1}


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        pytest.param(1.0, 1.2, id="above, at the limit"),
        pytest.param(-1.0, -0.8, id="below, at the limit"),
        pytest.param(10.0, 11.1, id="relative to what is expected"),
        pytest.param(1.0, 1, id="a whole number for a fraction"),
        pytest.param(NAN, NAN, id="NaN for NaN"),
        pytest.param(INF, INF, id="infinity for infinity"),
        pytest.param(-INF, -HUGE, id="an integer beyond every float is infinite"),
        pytest.param(3, 3, id="the same integer"),
        pytest.param("cat", "cat", id="the same text"),
        pytest.param(None, None, id="nothing"),
        pytest.param(True, True, id="the same truth"),
        pytest.param([], [], id="empty lists"),
        pytest.param({"a": [1.0, {"b": 2}]}, {"a": [1.1, {"b": 2}]}, id="nested"),
    ],
)
def test_an_answer_that_is_near_enough_has_no_differences(expected, found):
    assert differences(expected, found, cpu=NEAR) == []


@pytest.mark.parametrize(
    ("expected", "found", "lines"),
    [
        pytest.param(
            1.0, 1.21, ["answer is 1.21, expected 1.0"], id="further than allowed"
        ),
        pytest.param(1, 2, ["answer is 2, expected 1"], id="another integer"),
        pytest.param(
            1, 1.0, ["answer is 1.0, expected 1"], id="a fraction for an integer"
        ),
        pytest.param(
            1.0, True, ["answer is True, expected 1.0"], id="a truth is no number"
        ),
        pytest.param(1, True, ["answer is True, expected 1"], id="nor an integer"),
        pytest.param(1.0, "1", ["answer is '1', expected 1.0"], id="text for a number"),
        pytest.param(1.0, None, ["answer is None, expected 1.0"], id="nothing"),
        pytest.param(1.0, NAN, ["answer is nan, expected 1.0"], id="NaN"),
        pytest.param(NAN, 1.0, ["answer is 1.0, expected nan"], id="not NaN"),
        pytest.param(INF, -INF, ["answer is -inf, expected inf"], id="other infinity"),
        pytest.param(1.0, INF, ["answer is inf, expected 1.0"], id="infinity"),
        pytest.param(
            {"a": 1}, [1], ["answer is [1], expected {'a': 1}"], id="another kind"
        ),
        pytest.param(
            [1, 2, 3],
            [1, 5],
            ["answer has 2 items, expected 3", "answer[1] is 5, expected 2"],
            id="a shorter list, compared as far as it goes",
        ),
        pytest.param(
            {"a": 1, "b": {"c": 1}},
            {"b": {"c": 2}, "d": 4},
            [
                "answer.a is missing",
                "answer.b.c is 2, expected 1",
                "answer.d was not expected",
            ],
            id="keys, in order",
        ),
        pytest.param(
            "x" * 300,
            "y",
            [f"answer is 'y', expected '{'x' * 199}… (302 characters)"],
            id="long values are cut",
        ),
    ],
)
def test_differences_name_the_place_what_was_found_and_expected(expected, found, lines):
    assert differences(expected, found, cpu=NEAR) == lines


def test_without_a_tolerance_for_the_device_numbers_agree_exactly():
    exact = case([0.5], gpu=NEAR)

    assert exact.differences(b"[0.5]", device="cpu") == []
    assert exact.differences(b"[0.55]", device="gpu") == []
    found = exact.differences(b"[0.5000001]", device="cpu")
    assert found == ["answer[0] is 0.5000001, expected 0.5"]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b"<html>", "<html>", id="a page"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="not UTF-8"),
        pytest.param(
            b"[" * 100_000, "[" * 200 + "… (100000 characters)", id="nested too deeply"
        ),
        pytest.param(
            b"1" * 5000, "1" * 200 + "… (5000 characters)", id="too many digits"
        ),
    ],
)
def test_an_answer_that_is_not_json_is_one_difference(answer, shown):
    found = case(1).differences(answer, device="cpu")

    assert found == [f"the answer is not JSON: {shown}"]


@given(JSON)
def test_every_value_agrees_with_itself(value):
    assert differences(value, value) == []


@given(JSON, JSON)
def test_comparing_never_fails(expected, found):
    assert all(line.startswith("answer") for line in differences(expected, found))


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        pytest.param({"json": {"a": [1, 0.5]}}, b'{"a":[1,0.5]}', id="json"),
        pytest.param({"json": None}, b"null", id="json that is nothing"),
        pytest.param({"text": "grün"}, "grün".encode(), id="text"),
        pytest.param({"file": "cat.png"}, b"\x89PNG", id="a file beside the case"),
    ],
)
def test_the_body_of_a_request_is_read_once_and_ready_to_send(request_, body):
    files = {"cat.png": b"\x89PNG"}
    document = {
        "schema": 1,
        "request": {"content_type": "x/y", **request_},
        "expect": {"json": 7},
        "tolerance": {"gpu": {"absolute": 1}},
    }

    read = GoldenCase.from_mapping("one", document, read=files.__getitem__)

    assert read == GoldenCase(
        name="one",
        request=Request(content_type="x/y", body=body),
        expected=7,
        tolerance={"gpu": Tolerance(absolute=1)},
    )


@pytest.mark.parametrize(
    ("expected", "found", "absolute", "relative"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], 0.0, 0.0, id="the same"),
        pytest.param([1.0, -4.0], [1.5, -4.25], 0.5, 0.5, id="the largest of each"),
        pytest.param([0.25, 8.0], [0.5, 9.0], 1.0, 1.0, id="from two places"),
        pytest.param(0.0, 0.5, 0.5, 0.0, id="no share of nothing"),
        pytest.param(4, 5, 1.0, 0.25, id="integers"),
        pytest.param(NAN, NAN, 0.0, 0.0, id="NaN for NaN"),
        pytest.param(1.0, NAN, INF, INF, id="NaN for a number"),
        pytest.param(INF, 1.0, INF, 0.0, id="a number for infinity"),
        pytest.param("a", 1.0, 0.0, 0.0, id="not two numbers"),
        pytest.param([1.0], [1.5, 9.0], 0.5, 0.5, id="as far as both go"),
    ],
)
def test_the_largest_errors_are_those_of_all_numbers(
    expected, found, absolute, relative
):
    near = case(expected, cpu={"absolute": 100.0})

    compared = near.compare(json.dumps(found).encode(), device="cpu")

    assert compared.max_absolute_error == absolute
    assert compared.max_relative_error == relative


def test_no_more_than_the_first_differences_are_kept():
    compared = case([1] * 1000).compare(json.dumps([2] * 1000).encode(), device="cpu")

    assert len(compared.differences) == 100
    assert compared.differences[0] == "answer[0] is 2, expected 1"


def test_a_case_without_an_answer_accepts_none():
    document = {"schema": 1, "request": {"content_type": "x/y", "text": "a"}}

    read = GoldenCase.from_mapping("one", document, read=lambda name: b"")

    assert not read.is_recorded
    assert read.differences(b"null", device="cpu") == ["no answer is recorded"]
