"""Expressions mean what GitHub's documentation says."""

import math

import pytest

from workflows.harness.expressions import condition, embedded, evaluate, interpolate
from workflows.harness.syntax import ExpressionError

CONTEXTS = {
    "github": {"event_name": "push", "event": {"inputs": {"Model": "digits"}}},
    "needs": {
        "plan": {"result": "success", "outputs": {"any": "true"}},
        "smoke": {"result": "skipped", "outputs": {}},
    },
    "matrix": {"models": ["a", "b"], "rows": [{"n": 1.0}, {"n": 2.0}, {}]},
    "vars": {},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # literals
        ("true", True),
        ("null", None),
        ("711", 711),
        ("-9.2", -9.2),
        ("0xff", 255),
        ("0o17", 15),
        ("-2.99e-2", -0.0299),
        ("'Mona the Octocat'", "Mona the Octocat"),
        ("'It''s open source!'", "It's open source!"),
        # precedence
        ("true || false && false", True),
        ("!true == false", True),
        ("1 < 2 == true", True),
        ("(true || false) && false", False),
        ("!(1 == 2)", True),
        # operators give an operand, not a boolean
        ("'a' || 'b'", "a"),
        ("'' || 'b'", "b"),
        ("'a' && 'b'", "b"),
        ("0 && 'b'", 0),
        ("false && '' || 'other'", "other"),
        # loose equality
        ("'Push' == 'pUSH'", True),
        ("null == 0", True),
        ("null == ''", True),
        ("true == 1", True),
        ("'true' == true", False),
        ("'1' == 1", True),
        ("' 1 ' == 1", True),
        ("'0x10' == 16", True),
        ("'one' == 1", False),
        ("NaN == NaN", False),
        ("'' == 0", True),
        ("matrix.models == matrix.models", True),
        ("matrix.models == 'Array'", False),
        # order
        ("1 < 2", True),
        ("'b' > 'A'", True),
        ("'10' > 9", True),
        ("'x' > 1", False),
        ("'x' <= 1", False),
        ("2 >= 2", True),
        # looking into contexts
        ("github.event_name", "push"),
        ("GITHUB.Event_Name", "push"),
        ("github['event_name']", "push"),
        ("github.event.inputs.model", "digits"),
        ("github.event.pull_request.number", None),
        ("vars.STORE", None),
        ("vars.STORE != ''", False),
        ("matrix.models[1]", "b"),
        ("matrix.models[7]", None),
        ("matrix.models[0.5]", None),
        ("needs.*.result", ["success", "skipped"]),
        ("matrix.rows.*.n", [1, 2]),
        ("matrix.rows[*].n", [1, 2]),
        # functions
        ("contains('Hello world', 'LLO')", True),
        ("contains(needs.*.result, 'skipped')", True),
        ("contains(needs.*.result, 'skip')", False),
        ('contains(fromJSON(\'["push", "pull_request"]\'), github.event_name)', True),
        ("startsWith('Hello', 'he')", True),
        ("endsWith('Hello', 'LO')", True),
        ("format('{{Hello {0} {1}}}', 'Mona', 1)", "{Hello Mona 1}"),
        ("join(matrix.models, ', ')", "a, b"),
        ("join('x')", "x"),
        ("fromJSON('{\"a\": [1, true]}').a[1]", True),
        ("fromJSON(toJSON(needs)).plan.result", "success"),
        ("toJSON('x')", '"x"'),
        ("toJSON(matrix.models)", '[\n  "a",\n  "b"\n]'),
    ],
)
def test_an_expression_has_the_value_that_github_gives_it(text, value):
    assert evaluate(text, CONTEXTS) == value


def test_nan_counts_as_false():
    assert math.isnan(evaluate("NaN", {}))
    assert evaluate("NaN || 'other'", {}) == "other"


@pytest.mark.parametrize(
    "text",
    [
        "'open",
        '"double"',
        "a b",
        "1 +",
        "secrets.KEY",
        "nothing()",
        "github.",
        "(1",
        "fromJSON('')",
        "format('{0}')",
    ],
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(ExpressionError):
        evaluate(text, CONTEXTS)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("${{ needs.plan.outputs.any == 'true' }}", True),
        (
            "is ${{ true }}, ${{ null }}, ${{ 1.0 }}, ${{ needs }}",
            "is true, , 1, Object",
        ),
        ("${{ '}}' }}", "}}"),
        ({"a": ["${{ 1 }}", 2]}, {"a": [1, 2]}),
        ("$(not) $HOME {{ x }}", "$(not) $HOME {{ x }}"),
    ],
)
def test_expressions_inside_a_document_are_replaced(given, value):
    assert interpolate(given, CONTEXTS) == value


@pytest.mark.parametrize(
    ("text", "after_success", "after_failure"),
    [
        ("", True, False),
        ("true", True, False),
        ("github.event_name == 'push'", True, False),
        ("${{ github.event_name == 'push' }}", True, False),
        ("always()", True, True),
        ("failure()", False, True),
        ("!cancelled()", True, True),
        ("always() && github.event_name == 'schedule'", False, False),
        ("contains('success()', 'x')", False, False),
    ],
)
def test_a_condition_asks_for_success_unless_it_asks_itself(
    text, after_success, after_failure
):
    def holds(*, is_success):
        functions = {
            "success": lambda: is_success,
            "failure": lambda: not is_success,
            "always": lambda: True,
            "cancelled": lambda: False,
        }
        return condition(text, CONTEXTS, functions)

    assert (holds(is_success=True), holds(is_success=False)) == (
        after_success,
        after_failure,
    )


def test_the_expressions_of_a_text_are_listed():
    assert embedded("a ${{ b }} ${{ 'c' }} ${d}") == ["b", "'c'"]
