"""YAML is read as it looks, or not at all, and with the place of everything."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model_servers.adapters.documents import UnreadableError, load, parse
from model_servers.core.findings import Code

PLAIN_NUMBER = (
    "is not plain decimal; quote it, or write it without leading zero, base or "
    "separator"
)


BARE_BOOLEAN = "is a boolean in YAML; quote it, or write true or false"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("# nothing\n", None, id="a comment"),
        pytest.param("\ufeffa: 1\n", {"a": 1}, id="a byte order mark"),
        pytest.param("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}, id="line ends of Windows"),
        pytest.param("a:\n", {"a": None}, id="nothing"),
        pytest.param("a: ~", {"a": None}, id="nothing as a tilde"),
        pytest.param("a: [true, False]", {"a": [True, False]}, id="booleans"),
        pytest.param("a: [0, -1, +12]", {"a": [0, -1, 12]}, id="whole numbers"),
        pytest.param("a: [0.5, -1., .5]", {"a": [0.5, -1.0, 0.5]}, id="fractions"),
        pytest.param("a: 1.0e-5", {"a": 1e-5}, id="an exponent"),
        pytest.param("a: '1e-5'", {"a": "1e-5"}, id="a quoted exponent"),
        pytest.param("a: 'yes'", {"a": "yes"}, id="a quoted word"),
        pytest.param("'on': 1", {"on": 1}, id="a quoted key"),
        pytest.param("'1': 1", {"1": 1}, id="a quoted number as key"),
        pytest.param('a: "1.10"', {"a": "1.10"}, id="a quoted version"),
        pytest.param("a: 1.10.0", {"a": "1.10.0"}, id="a version of three numbers"),
        pytest.param("a: '2024-01-01'", {"a": "2024-01-01"}, id="a quoted date"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="a block of text"),
        pytest.param("- a\n- {b: [c]}", ["a", {"b": ["c"]}], id="a list"),
        pytest.param("a: &x 1", {"a": 1}, id="an anchor that nobody uses"),
    ],
)
def test_plain_yaml_is_read_as_it_looks(text, value):
    assert parse(text)[0] == value


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        pytest.param(
            "a: 1\nb: 2\na: 3\n", 3, 1, "the key 'a' is there twice", id="twice"
        ),
        pytest.param(
            "x:\n  a: 1\n  'a': 2\n",
            3,
            3,
            "the key 'a' is there twice",
            id="twice, once in quotes",
        ),
        pytest.param(
            "a: &x 1\nb: *x\n",
            2,
            4,
            "aliases are not read; write the value out",
            id="an alias",
        ),
        pytest.param(
            "a: &x [*x]\n",
            1,
            8,
            "aliases are not read; write the value out",
            id="an alias of itself",
        ),
        pytest.param(
            "a: *x\n",
            1,
            4,
            "aliases are not read; write the value out",
            id="an alias of nothing",
        ),
        pytest.param(
            "<<: {a: 1}\n", 1, 1, "'<<' is a merge in YAML; quote it", id="a merge"
        ),
        pytest.param("a:\n  - =\n", 2, 5, "'=' is a value in YAML; quote it", id="="),
        pytest.param("1: a\n", 1, 1, "the key 1 is not text; quote it", id="number"),
        pytest.param(
            "null: a\n", 1, 1, "the key null is not text; quote it", id="nothing"
        ),
        pytest.param(
            "true: a\n", 1, 1, "the key true is not text; quote it", id="a boolean"
        ),
        pytest.param(
            "? [a]\n: b\n",
            1,
            3,
            "the key a collection is not text; quote it",
            id="a list as key",
        ),
        pytest.param(
            "on: a\n", 1, 1, f"the bare word on {BARE_BOOLEAN}", id="on as a key"
        ),
        *(
            pytest.param(
                f"a: {word}\n", 1, 4, f"the bare word {word} {BARE_BOOLEAN}", id=word
            )
            for word in ("yes", "No", "ON", "off")
        ),
        *(
            pytest.param(
                f"a: {number}\n", 1, 4, f"the number {number} {PLAIN_NUMBER}", id=number
            )
            for number in ("017", "0x1F", "0b11", "1_000", "1:30", "1_000.5", "1:30.5")
        ),
        *(
            pytest.param(
                f"a:\n - {number}\n",
                2,
                4,
                f"{number} is text in YAML, not a number; write it like 1.0e-5",
                id=number,
            )
            for number in ("1e-5", "-1E5", "1.0e5")
        ),
        pytest.param(
            "a: 2024-01-01\n",
            1,
            4,
            "'2024-01-01' is a timestamp in YAML; quote it",
            id="a date",
        ),
        *(
            pytest.param(
                f"{start}{tag} {rest}\n",
                1,
                column,
                f"the tag {full} is not read; leave it out",
                id=f"{tag} {rest}",
            )
            for start, tag, rest, column, full in (
                ("a: ", "!!str", "1", 4, "tag:yaml.org,2002:str"),
                ("a: ", "!!float", '""', 4, "tag:yaml.org,2002:float"),
                ("a: ", "!!null", "'x'", 4, "tag:yaml.org,2002:null"),
                ("a: ", "!!binary", "AA==", 4, "tag:yaml.org,2002:binary"),
                ("a: ", "!!set", "{x}", 4, "tag:yaml.org,2002:set"),
                ("a: ", "!!omap", "[x: 1]", 4, "tag:yaml.org,2002:omap"),
                ("a: ", "!mine", "[1]", 4, "!mine"),
                (
                    "a: ",
                    "!!python/object/apply:os.system",
                    "[ls]",
                    4,
                    "tag:yaml.org,2002:python/object/apply:os.system",
                ),
                ("? ", "!!float", "''", 3, "tag:yaml.org,2002:float"),
            )
        ),
        pytest.param(
            'a: "\\uD83D"\n',
            1,
            4,
            "half of a surrogate pair is no character",
            id="half a character",
        ),
        pytest.param(
            'a: "\\U00110000"\n',
            None,
            None,
            "it is not YAML: chr() arg not in range(0x110000)",
            id="no character",
        ),
        pytest.param(
            "a: b\x00\n",
            None,
            None,
            "unacceptable character #x0000: special characters are not allowed",
            id="a zero byte",
        ),
        pytest.param(
            "a: b: c\n", 1, 5, "mapping values are not allowed here", id="two colons"
        ),
        pytest.param(
            "a: 1\n\tb: 2\n",
            2,
            1,
            "found character '\\t' that cannot start any token",
            id="a tab",
        ),
        pytest.param(
            "a: [1, 2\n",
            2,
            1,
            "expected ',' or ']', but got '<stream end>'",
            id="a list without end",
        ),
        pytest.param(
            "a: 'b\n", 2, 1, "found unexpected end of stream", id="quotes without end"
        ),
        pytest.param(
            "a: 1\n---\nb: 2\n",
            2,
            1,
            "another document begins; a file holds one",
            id="two documents",
        ),
        pytest.param(
            "[" * 5000,
            1,
            102,
            "it is nested too deeply; at most 100 levels are read",
            id="nested too deeply",
        ),
        pytest.param(
            "a: " + "9" * 301,
            1,
            4,
            "the number has 301 digits; at most 300 are read",
            id="a long number",
        ),
        pytest.param(
            "a: .inf\n", 1, 4, ".inf is not a finite number", id="an infinite number"
        ),
        pytest.param(
            "a: -.INF\n", 1, 4, "-.INF is not a finite number", id="another one"
        ),
        pytest.param(
            "a: .NaN\n", 1, 4, ".NaN is not a finite number", id="not a number"
        ),
        pytest.param(
            f"a: {'9' * 400}.0\n",
            1,
            4,
            f"{'9' * 400}.0 is not a finite number",
            id="too large a number",
        ),
        pytest.param(
            "a" * 1_000_001,
            None,
            None,
            "the document has 1000001 characters; at most 1000000 are read",
            id="too long",
        ),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(text, line, column, message):
    with pytest.raises(UnreadableError) as caught:
        parse(text)

    found = (str(caught.value), caught.value.line, caught.value.column)
    assert found == (message, line, column)


LAUGHS = "\n".join(
    ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LAUGHS, id="a billion laughs"),
        pytest.param("[" * 900_000, id="lists in lists"),
        pytest.param("{a: " * 200_000, id="mappings in mappings"),
        pytest.param("- " * 400_000, id="lists in lists, as blocks"),
        pytest.param("a: " + "9" * 900_000, id="a number of many digits"),
        pytest.param("%YAML 1." + "9" * 900_000 + "\n--- a\n", id="a large version"),
    ],
)
@pytest.mark.timeout(120)  # it would take hours, or all memory
def test_what_would_explode_is_one_finding(text):
    document, findings = load(text, schema="model", path="m", shown_as="m")

    assert document is None
    assert [finding.code for finding in findings] == [Code.UNREADABLE]


YAML_TEXT = st.text(
    st.sampled_from("abe19.:-_+~!&*<>=|'\"#%@,?[]{}() \n\t\\0\u00e9\ufeff\ud800\x00")
)


@given(st.text() | YAML_TEXT)
def test_arbitrary_text_is_read_or_unreadable(text):
    try:
        value, places = parse(text)
    except UnreadableError:
        return
    assert places[""][0] >= 1
    assert value is None or isinstance(value, str | int | float | bool | list | dict)


@given(
    st.sampled_from(
        ["!!float", "!!int", "!!bool", "!!null", "!!timestamp", "!!set", "!!pairs", "!"]
    ),
    YAML_TEXT,
    st.sampled_from(["a: {} {}", "? {} {}\n: b", '"{}{}"', '"\\U{1}{0}"', "{} [{}]"]),
)
def test_tags_and_escapes_are_read_or_unreadable(tag, text, shape):
    try:
        parse(shape.format(tag, text))
    except UnreadableError:
        return


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda number: "e" not in repr(number)
    )
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.from_regex(r"[a-z_]{3,8}", fullmatch=True), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_yaml_writes_is_read_again(value):
    text = yaml.dump(value, Dumper=_WithoutAliases, allow_unicode=True)

    assert parse(text)[0] == value


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def test_every_place_has_its_line_and_column():
    text = "# a comment\na: 1\nb:\n  - x\n  -   c: 2\n      d: [3, {e: 4}]\n"

    _, places = parse(text)

    assert places == {
        "": (2, 1),
        "a": (2, 1),
        "b": (3, 1),
        "b[0]": (4, 5),
        "b[1]": (5, 7),
        "b[1].c": (5, 7),
        "b[1].d": (6, 7),
        "b[1].d[0]": (6, 11),
        "b[1].d[1]": (6, 14),
        "b[1].d[1].e": (6, 15),
    }
