"""Answers written into golden cases: only the answer changes, and it reads back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.adapters import documents
from model_servers.core.recording import as_entry, with_answer

TEXT = st.text(
    st.characters(exclude_categories=["Cs"]),
    max_size=12,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=15,
)

CASE = """\
# A comment at the head.
schema: 1
request: # of a client
  content_type: application/json
  json: [1, 2] # two numbers
expect:
  json: [3]

# Wide, because the network is small.
tolerance:
  cpu: {absolute: 1.0e-4}
"""


def recorded(text, answer):
    _, places = documents.parse(text)
    return with_answer(text, answer, places=places)


@given(JSON)
def test_every_answer_reads_back_as_it_was(answer):
    found, _ = documents.parse(recorded(CASE, answer))

    assert repr(found["expect"]["json"]) == repr(answer)
    assert found["request"] == {"content_type": "application/json", "json": [1, 2]}


def test_the_rest_of_the_text_stays():
    assert recorded(CASE, [0.5, -1e-07]) == CASE.replace("[3]", "[0.5, -1.0e-07]")


def test_an_answer_that_was_not_there_stands_before_the_tolerance():
    text = CASE.replace("expect:\n  json: [3]\n", "")

    assert recorded(text, 7) == CASE.replace("[3]", "7")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        pytest.param(
            "schema: 1\nrequest: {content_type: a/b, text: c}\n",
            "schema: 1\nrequest: {content_type: a/b, text: c}\nexpect:\n  json: 7\n",
            id="without an answer",
        ),
        pytest.param(
            "schema: 1\nrequest: {content_type: a/b, text: c}",
            "schema: 1\nrequest: {content_type: a/b, text: c}\nexpect:\n  json: 7\n",
            id="without a line feed at the end",
        ),
        pytest.param(
            "expect: {json: 1}\nschema: 1\n",
            "expect:\n  json: 7\nschema: 1\n",
            id="at the head",
        ),
        pytest.param(
            "expect:\n  json:\n    a: 1\n# the end\n",
            "expect:\n  json: 7\n# the end\n",
            id="before a comment",
        ),
        pytest.param(
            "schema: 1\r\nexpect: {json: 1}\r\n",
            "schema: 1\r\nexpect:\r\n  json: 7\r\n",
            id="lines as Windows ends them",
        ),
    ],
)
def test_an_answer_finds_its_place(text, changed):
    _, places = documents.parse(text.replace("\r\n", "\n"))

    assert with_answer(text, 7, places=places) == changed


def test_a_case_in_braces_is_not_touched():
    with pytest.raises(ValueError, match="do not begin lines"):
        recorded("{schema: 1, expect: {json: 1}}", 7)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param([1, 2.5, True, None], "a: [1, 2.5, true, null]", id="flat"),
        pytest.param([[1, 2], [3]], "a:\n  - [1, 2]\n  - [3]", id="rows"),
        pytest.param({"b": {"c": 1}}, "a:\n  b:\n    c: 1", id="nested"),
        pytest.param(
            [{"b": 1, "c": [2]}], "a:\n  - b: 1\n    c: [2]", id="objects in a list"
        ),
        pytest.param([], "a: []", id="an empty list"),
        pytest.param({}, "a: {}", id="an empty object"),
        pytest.param("no", 'a: "no"', id="a word that YAML takes for a boolean"),
        pytest.param("a cat", 'a: "a cat"', id="text"),
        pytest.param("class_0", "a: class_0", id="a word"),
    ],
)
def test_values_are_written_as_a_person_would(value, text):
    assert as_entry("a", value) == text


def test_long_lists_are_wrapped():
    lines = as_entry("json", [math.pi] * 20, indent="  ").splitlines()

    assert len(lines) > 1
    assert max(map(len, lines)) <= 88
