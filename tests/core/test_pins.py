"""Requirements are pinned, and nothing else of the file changes."""

import pytest

from model_servers.core.pins import pinned, unpinned

VERSIONS = {"numpy": "2.1.0", "typing-extensions": "4.12"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy\n", "numpy==2.1.0\n"),
        ("numpy", "numpy==2.1.0"),
        ("numpy >= 2, <3  # fast\r\n", "numpy==2.1.0  # fast\r\n"),
        ("numpy[dev] ~=2.0 ; python_version > '3'\n",
         "numpy[dev]==2.1.0 ; python_version > '3'\n"),
        ("Typing_Extensions\n", "Typing_Extensions==4.12\n"),
        ("numpy==2.*\n", "numpy==2.1.0\n"),
        ("numpy (>=2)\n", "numpy==2.1.0\n"),
        ("numpy>=2 \\\n  --no-binary\n", "numpy==2.1.0 \\\n  --no-binary\n"),
        ("# numpy\n\nnumpy\n", "# numpy\n\nnumpy==2.1.0\n"),
    ],
)  # fmt: skip
def test_a_requirement_gets_its_version(text, expected):
    assert pinned(text, VERSIONS) == expected
    assert len(unpinned(text)) == 1
    assert unpinned(expected) == []


@pytest.mark.parametrize(
    "text",
    [
        "numpy==1.0\n",
        "numpy == 1.0 ; python_version > '3' # old\n",
        "numpy===1.0\n",
        "-r other.txt\n",
        "--extra-index-url https://example.org/\n",
        f"numpy @ https://example.org/numpy.whl#sha256={'0' * 64}\n",
        "# numpy\n",
        "",
    ],
)
def test_other_lines_stay(text):
    assert pinned(text, VERSIONS) == text


def test_a_package_that_pip_does_not_install_stays():
    assert pinned("scipy\n", VERSIONS) == "scipy\n"
