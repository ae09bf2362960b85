"""Edits of YAML keep everything else as it is."""

import pytest

from model_servers.adapters.strict_yaml import parse
from model_servers.core.yaml_text import with_block, with_key, with_scalar


def edited(text, place, value):
    _, places = parse(text)
    return with_scalar(text, places, place, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('version: "1.0"\n', 'version: "2.0"\n'),
        ("version: '1.0' # why\n", "version: '2.0' # why\n"),
        ("version:   1.0.0   # why\n", "version:   2.0   # why\n"),
        ('version: "1.0"', 'version: "2.0"'),
        ('a: 1\r\nversion: "1.0"\r\nb: 2\r\n', 'a: 1\r\nversion: "2.0"\r\nb: 2\r\n'),
        ('{a: 1, version: "1.0", b: 2}', '{a: 1, version: "2.0", b: 2}'),
        ("{version: v1, b: 2}", "{version: 2.0, b: 2}"),
        ('"version": "1.0"\n', '"version": "2.0"\n'),
        ('# é\n"é": 1\nversion : "1.0"\n', '# é\n"é": 1\nversion : "2.0"\n'),
        ("version: one word more # why\n", "version: 2.0 # why\n"),
        ('version: "a \\" b" # why\n', 'version: "2.0" # why\n'),
    ],
)
def test_one_scalar_changes_and_nothing_else(text, expected):
    assert edited(text, "version", "2.0") == expected


def test_a_place_inside_a_block_is_found():
    text = 'version: "1"\nbuild:\n  # first\n  version: "1"\n'

    assert edited(text, "build.version", "2") == text[:-4] + '"2"\n'


@pytest.mark.parametrize("text", ["version: |\n  1.0\n", "version:\n  '1.0'\n"])
def test_a_scalar_of_several_lines_is_refused(text):
    with pytest.raises(ValueError, match="not written in one line"):
        edited(text, "version", "2.0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  uri: x # why\nb: 1\n", "a:\n  uri: x # why\n  size: 5\nb: 1\n"),
        ("a:\n    uri: x", "a:\n    uri: x\n    size: 5\n"),
        ("a: {uri: x}\n", "a: {size: 5, uri: x}\n"),
        ("a:\r\n  uri: x\r\n", "a:\r\n  uri: x\r\n  size: 5\r\n"),
    ],
)
def test_a_key_comes_to_the_others_of_its_mapping(text, expected):
    _, places = parse(text)

    assert with_key(text, places, "a", ("size", "5")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", "a: 1\nb:\n  size: 5\n"),
        ("a: 1 # why", "a: 1 # why\nb:\n  size: 5\n"),
        ("a: 1\r\n", "a: 1\r\nb:\r\n  size: 5\r\n"),
    ],
)
def test_a_block_comes_to_the_end(text, expected):
    assert with_block(text, "b", [("size", "5")]) == expected
