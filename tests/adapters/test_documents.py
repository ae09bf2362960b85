"""Documents and their schemas: what is wrong is found in its place."""

import pytest
import yaml

from adapters.reading import MODEL, finding, read
from model_servers.adapters.documents import parse, violations
from model_servers.core.contribution import Document
from model_servers.core.findings import Code


def test_a_document_that_its_schema_accepts_is_read_with_its_places():
    document, findings = read(MODEL)

    assert findings == []
    assert document == Document(
        path="model.yaml", data=yaml.safe_load(MODEL), places=parse(MODEL)[1]
    )


KNOWN = (
    "known keys: schema, name, version, summary, license, maintainers, build, "
    "checkpoint, golden, exceptions"
)


VERSION = 'expected: MAJOR.MINOR or MAJOR.MINOR.PATCH, quoted, such as "1.0.0"'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "summary:",
            "sumary:",
            [
                finding(
                    "sumary",
                    4,
                    1,
                    "unknown key 'sumary'",
                    fix="did you mean 'summary'?",
                ),
                finding("", 1, 1, "key 'summary' is missing", fix="add `summary:`"),
            ],
            id="a key that is nearly known",
        ),
        pytest.param(
            "build:\n",
            "colour: red\nbuild:\n",
            [finding("colour", 7, 1, "unknown key 'colour'", fix=KNOWN)],
            id="a key that is unknown",
        ),
        pytest.param(
            "  model_file:",
            "  model-file:",
            [
                finding(
                    "build.model-file",
                    8,
                    3,
                    "unknown key 'model-file'",
                    fix="did you mean 'model_file'?",
                ),
                finding(
                    "build",
                    7,
                    1,
                    "key 'model_file' is missing",
                    fix="add `model_file:`",
                ),
            ],
            id="a key inside a block",
        ),
        pytest.param(
            '"1.0.0"',
            "1.10",
            [
                finding(
                    "version",
                    3,
                    1,
                    "found the number 1.1, expected text",
                    fix="quote it, as it is written",
                )
            ],
            id="a version without quotes",
        ),
        pytest.param(
            '"1.0.0"',
            "2",
            [
                finding(
                    "version",
                    3,
                    1,
                    "found the number 2, expected text",
                    fix='quote it: "2"',
                )
            ],
            id="a whole number without quotes",
        ),
        pytest.param(
            "name: tiny",
            "name: true",
            [
                finding(
                    "name",
                    2,
                    1,
                    "found the boolean true, expected text",
                    fix="quote it, as it is written",
                )
            ],
            id="a boolean for text",
        ),
        *(
            pytest.param(
                '"1.0.0"',
                f'"{text}"',
                [
                    finding(
                        "version",
                        3,
                        1,
                        f'found "{text}"; that is not allowed here',
                        fix=VERSION,
                    )
                ],
                id=f"version {text}",
            )
            for text in ("1", "v1.0", "1.0.0\\n", "1.0-rc1")
        ),
        pytest.param(
            "summary: A model for tests.",
            "summary:",
            [
                finding(
                    "summary",
                    4,
                    1,
                    "found nothing, expected text",
                    fix="expected: one sentence that says what the model does",
                )
            ],
            id="nothing for text",
        ),
        pytest.param(
            '["@model-servers"]',
            "[]",
            [
                finding(
                    "maintainers",
                    6,
                    1,
                    "found 0 items, expected at least 1 item",
                    fix="expected: who answers for the model",
                )
            ],
            id="an empty list",
        ),
        pytest.param(
            '["@model-servers"]',
            '["@a", 7]',
            [
                finding(
                    "maintainers[1]",
                    6,
                    21,
                    "found the number 7, expected text",
                    fix='quote it: "7"',
                )
            ],
            id="an item of a list",
        ),
        pytest.param(
            "schema: 1",
            "schema: 0",
            [
                finding(
                    "schema",
                    1,
                    1,
                    "found 0, expected 1",
                    fix="expected: the number of this document's schema, 1",
                )
            ],
            id="a schema number that never was",
        ),
        pytest.param(
            "schema: 1",
            "schema: 2\nunheard-of: 1",
            [
                finding(
                    "schema",
                    1,
                    1,
                    "schema is 2; this version reads up to 1",
                    fix="install a newer model-servers",
                    code=Code.TOO_NEW,
                )
            ],
            id="a newer schema: that one answer and no other",
        ),
        pytest.param(
            MODEL,
            "",
            [
                finding(
                    "",
                    1,
                    1,
                    "found nothing, expected a mapping",
                    fix="expected: What a model is, and the files its archive is "
                    "built from.",
                )
            ],
            id="an empty document",
        ),
        pytest.param(
            MODEL,
            "- a\n",
            [
                finding(
                    "",
                    1,
                    1,
                    'found the list ["a"], expected a mapping',
                    fix="expected: What a model is, and the files its archive is "
                    "built from.",
                )
            ],
            id="a list",
        ),
        pytest.param(
            "name: tiny",
            "name: tiny\nname: big",
            [
                finding(
                    "",
                    3,
                    1,
                    "the key 'name' is there twice",
                    fix="remove one of them",
                    code=Code.UNREADABLE,
                )
            ],
            id="a key that is there twice",
        ),
        pytest.param(
            "name: tiny",
            "name: tiny\n\tsummary: x",
            [
                finding(
                    "",
                    3,
                    1,
                    "found character '\\t' that cannot start any token",
                    fix="indent with spaces",
                    code=Code.UNREADABLE,
                )
            ],
            id="a tab",
        ),
        pytest.param(
            "name: tiny",
            "name: tiny: small",
            [
                finding(
                    "",
                    2,
                    11,
                    "mapping values are not allowed here",
                    fix="quote a text with a colon, or indent it",
                    code=Code.UNREADABLE,
                )
            ],
            id="a colon",
        ),
    ],
)
def test_what_a_schema_refuses_is_found_in_its_place(old, new, expected):
    assert old in MODEL

    document, findings = read(MODEL.replace(old, new, 1))

    assert document is None
    assert findings == expected


def test_long_values_are_cut_in_messages():
    _, (found,) = read(MODEL.replace("tiny", f"[{'x' * 500}]", 1))

    assert found.message == f'found the list ["{"x" * 198}…, expected text'


def test_of_a_hostile_documents_many_faults_the_first_are_told():
    found = violations({"cases": [0] * 50_000}, schema="report")

    assert 900 < len(found) < 1100
