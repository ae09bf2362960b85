"""A matrix has the legs that GitHub makes of it."""

import pytest

from workflows.harness.documents import DocumentError
from workflows.harness.matrix import legs


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ({"a": [1, 2], "b": ["x"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]),
        ({"a": [1, 2], "exclude": [{"a": 1}]}, [{"a": 2}]),
        ({"include": [{"a": 1}, {"b": 2}]}, [{"a": 1}, {"b": 2}]),
        (
            {"a": [1, 2], "include": [{"a": 1, "b": "x"}, {"a": 3}]},
            [{"a": 1, "b": "x"}, {"a": 2}, {"a": 3}],
        ),
        ({"a": [1], "include": [{"b": "for all"}]}, [{"a": 1, "b": "for all"}]),
        ({"a": list(range(256))}, [{"a": n} for n in range(256)]),
    ],
)
def test_a_matrix_has_the_legs_that_github_makes(matrix, expected):
    assert legs(matrix) == expected


@pytest.mark.parametrize(
    "matrix", [{"a": []}, {}, {"a": "text"}, {"a": list(range(257))}, ""]
)
def test_a_matrix_that_github_refuses_is_refused(matrix):
    with pytest.raises(DocumentError):
        legs(matrix)
