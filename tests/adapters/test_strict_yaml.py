"""The two parsers of PyYAML: one is fast, and both read alike."""

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import zoo
from adapters import test_plain_yaml as known
from model_servers.adapters import strict_yaml

FRAGMENTS = st.sampled_from(
    [
        "a: ",
        "- ",
        "? ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "'",
        '"',
        "|\n",
        ">-\n  ",
        "&x ",
        "*x",
        "!!str ",
        "! ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        " # c\n",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "<<: ",
        "\\n",
        "\\x41",
        "b",
        "1",
        "1.5",
        "x y",
        "a:b",
        "yes",
        "1e5",
        "017",
        "null",
        "~",
        "-",
        ">#",
        "\t",
        "\r\n",
        "\u2028",
        "\ufeff",
        "é",
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=12).map("".join) | known.YAML_TEXT


def outcome(read):
    """Give what reading gives: value and places, or the refusal and its place."""
    try:
        return read()
    except strict_yaml.UnreadableError as error:
        return str(error), error.line, error.column


def slowly(text):
    return outcome(lambda: strict_yaml.read(text, yaml.SafeLoader))


def texts_of(test):
    """Give the texts that a parametrized test of strict reading reads."""
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return [case.values[0] for case in mark.args[1] if len(case.values[0]) < 5000]


@pytest.mark.parametrize(
    "text",
    [
        *texts_of(known.test_plain_yaml_is_read_as_it_looks),
        *texts_of(known.test_what_is_not_plain_is_refused_with_its_place),
    ],
)
def test_every_text_is_read_as_it_would_be_without_libyaml(text):
    assert outcome(lambda: strict_yaml.parse(text)) == slowly(text)


@given(TEXTS)
@example(">#")  # the two disagree about these
@example("[a)?]")
@example("---")
@example("a:\tb")
@settings(max_examples=300)
def test_arbitrary_text_is_read_as_it_would_be_without_libyaml(text):
    assert outcome(lambda: strict_yaml.parse(text)) == slowly(text)


def test_a_python_without_libyaml_reads_the_same(monkeypatch):
    text = "a: [1, {b: 'x'}]\n"
    fast = strict_yaml.parse(text)

    monkeypatch.setattr(strict_yaml, "_FAST", None)

    assert strict_yaml.parse(text) == fast


def test_documents_as_people_write_them_are_read_by_the_fast_parser(monkeypatch):
    used = []

    class Counted(yaml.CSafeLoader):
        def __init__(self, text):
            used.append(text)
            super().__init__(text)

    monkeypatch.setattr(strict_yaml, "_FAST", Counted)
    texts = [zoo.as_yaml(zoo.model_document()), "# grün\na: {b: [1, 'x y: z - |']}\n"]

    for text in texts:
        strict_yaml.parse(text)

    assert used == texts
