"""Names of models, ordered versions, and references to both."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.core.names import Ref, Version, why_not_a_name

NUMBERS = st.integers(min_value=0, max_value=999_999_999)
VERSIONS = st.lists(NUMBERS, min_size=2, max_size=3).map(
    lambda numbers: ".".join(map(str, numbers))
)
WORDS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
NAMES = st.builds(
    lambda first, words, joint: joint.join([first, *words]),
    st.from_regex(r"[a-su-z][a-z0-9]{0,8}", fullmatch=True),
    st.lists(WORDS, max_size=4),
    st.sampled_from("_-"),
)
LETTERS = (
    "it must be lower-case letters and digits, joined by single _ or -, a letter first"
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a", id="one letter"),
        pytest.param("my_network", id="underscore"),
        pytest.param("res-net-18", id="hyphens"),
        pytest.param("a1_2-b", id="digits after the joint"),
        pytest.param("atoken", id="token, but not at the start"),
        pytest.param("a" * 64, id="64 characters"),
    ],
)
def test_a_plain_word_names_a_model(name):
    assert why_not_a_name(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("", LETTERS, id="empty"),
        pytest.param("Tiny", LETTERS, id="upper case"),
        pytest.param("1st", LETTERS, id="digit first"),
        pytest.param("_tiny", LETTERS, id="joint first"),
        pytest.param("tiny-", LETTERS, id="joint last"),
        pytest.param("a__b", LETTERS, id="two joints"),
        pytest.param("a_-b", LETTERS, id="mixed joints"),
        pytest.param("a.b", LETTERS, id="dot"),
        pytest.param("a/b", LETTERS, id="slash"),
        pytest.param("..", LETTERS, id="the directory above"),
        pytest.param("größe", LETTERS, id="not ASCII"),
        pytest.param("tiny\u0663", LETTERS, id="a digit that is not ASCII"),
        pytest.param("tiny\n", LETTERS, id="line feed at the end"),
        pytest.param(
            "a" * 65, "it has 65 characters; at most 64 are allowed", id="too long"
        ),
        pytest.param(
            "token_counter",
            "TorchServe cannot manage models whose name starts with 'token'",
            id="TorchServe's token API",
        ),
    ],
)
def test_what_cannot_name_a_model_says_why(name, reason):
    assert why_not_a_name(name) == reason


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("1.0", (1, 0, 0), id="two numbers"),
        pytest.param("1.2.3", (1, 2, 3), id="three numbers"),
        pytest.param("0.0", (0, 0, 0), id="zero"),
        pytest.param("10.20.300", (10, 20, 300), id="several digits"),
        pytest.param("999999999.0", (999_999_999, 0, 0), id="nine digits"),
    ],
)
def test_a_version_is_two_or_three_numbers(text, numbers):
    assert Version.parse(text) == Version(numbers, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("1", id="one number"),
        pytest.param("1.2.3.4", id="four numbers"),
        pytest.param("1.", id="a number missing"),
        pytest.param("01.0", id="leading zero"),
        pytest.param("1.00", id="leading zero after the dot"),
        pytest.param("v1.0", id="a letter"),
        pytest.param("1.0-rc1", id="a suffix"),
        pytest.param("-1.0", id="negative"),
        pytest.param(" 1.0", id="a space"),
        pytest.param("1.0\n", id="line feed at the end"),
        pytest.param("\u0661.\u0660", id="digits that are not ASCII"),
        pytest.param("1000000000.0", id="ten digits"),
        pytest.param("latest", id="a channel"),
    ],
)
def test_anything_else_is_no_version(text):
    message = f"version {text!r} is not MAJOR.MINOR[.PATCH]"

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Version.parse(text)


def test_versions_are_ordered_by_number():
    texts = ["1.10", "1.9", "0.9.9", "1.9.1", "10.0", "2.0"]

    ordered = sorted(map(Version.parse, texts))

    expected = ["0.9.9", "1.9", "1.9.1", "1.10", "2.0", "10.0"]
    assert [version.text for version in ordered] == expected


def test_1_0_and_1_0_0_are_two_versions_in_one_order():
    short, long = Version.parse("1.0"), Version.parse("1.0.0")

    assert short != long
    assert sorted([long, short]) == [short, long]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("tiny", "'tiny' is not NAME@VERSION", id="no version"),
        pytest.param("", "'' is not NAME@VERSION", id="empty"),
        pytest.param(
            "Tiny@1.0", f"'Tiny' cannot name a model: {LETTERS}", id="not a name"
        ),
        pytest.param("@1.0", f"'' cannot name a model: {LETTERS}", id="no name"),
        pytest.param(
            "tiny@latest",
            "version 'latest' is not MAJOR.MINOR[.PATCH]",
            id="a channel",
        ),
        pytest.param(
            "tiny@1.0@2.0",
            "version '1.0@2.0' is not MAJOR.MINOR[.PATCH]",
            id="two versions",
        ),
    ],
)
def test_what_is_no_reference_says_why(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Ref.parse(text)


@given(VERSIONS)
def test_a_version_is_written_as_it_was_read(text):
    assert str(Version.parse(text)) == text


@given(NAMES, VERSIONS)
def test_a_reference_is_written_as_it_was_read(name, version):
    ref = Ref(name, Version.parse(version))

    assert why_not_a_name(name) is None
    assert Ref.parse(str(ref)) == ref


@given(st.tuples(NAMES, VERSIONS), st.tuples(NAMES, VERSIONS))
def test_no_two_references_share_an_entry(one, other):
    first, second = (Ref(name, Version.parse(text)) for name, text in (one, other))

    assert (first.entry == second.entry) == (first == second)


def test_the_entry_of_a_reference_names_both():
    assert Ref.parse("my-net@1.2").entry == "my-net-1.2"
