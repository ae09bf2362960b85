"""Whatever a document holds, reading it gives the document or findings in words."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from model_servers.adapters import documents
from schemas.known import NAMES, VALID_DOCUMENTS, schema

RAW = re.compile(
    r"is not (of type|one of|valid under)|does not match|was expected|should be|"
    r"is a dependency of|required property|False schema|is (too|less|greater)"
)
"""How jsonschema words it."""

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(-1e6, 1e6)
    | st.text(max_size=6)
    | st.sampled_from(["1.0", "gpu", "tp", "latest", "a.tar", "2026-02-30", "MS040"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def shaped(part):
    """Give values that have about the shape that a schema wants."""
    kinds = part.get("type", "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    likely = [st.just(value) for value in part.get("examples", ())]
    likely += [st.just(value) for value in part.get("enum", ())]
    if "object" in kinds:
        likely.append(shaped_mapping(part))
    if "array" in kinds:
        likely.append(st.lists(shaped(part.get("items", {})), max_size=3))
    if "integer" in kinds:
        likely.append(st.integers(-1, 9))
    return st.one_of(*likely, VALUES) if likely else VALUES


def shaped_mapping(part):
    known = {key: shaped(inner) for key, inner in part.get("properties", {}).items()}
    some = st.sets(st.sampled_from(sorted(known))) if known else st.just(set())
    asked = set(part.get("required", ()))
    return some.flatmap(
        lambda keys: st.fixed_dictionaries({key: known[key] for key in keys | asked})
    )


SHAPED = {name: shaped(schema(name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=40)
def test_a_document_of_any_shape_is_accepted_or_its_faults_are_named(name, data):
    text = yaml.safe_dump(data.draw(SHAPED[name]), allow_unicode=True)

    assert_read(text, name)


@given(data=st.data())
@settings(max_examples=100)
def test_a_valid_document_with_changes_is_accepted_or_its_faults_are_named(data):
    path = data.draw(st.sampled_from(VALID_DOCUMENTS))
    changed = mutated(yaml.safe_load(path.read_text(encoding="utf-8")), data)

    assert_read(zoo.as_yaml(changed), path.parent.name)


def mutated(value, data):
    """Change one place of a value: drop it, rename it, or put another there."""
    if isinstance(value, dict) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        rest = {other: inner for other, inner in value.items() if other != key}
        match data.draw(st.sampled_from(["drop", "rename", "deeper", "deeper"])):
            case "drop":
                return rest
            case "rename":
                return {**rest, data.draw(st.text(max_size=9)): value[key]}
            case _:
                return {**value, key: mutated(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        return [*value[:-1], mutated(value[-1], data)]
    return data.draw(VALUES)


@given(
    path=st.sampled_from(VALID_DOCUMENTS),
    place=st.floats(0, 1),
    dropped=st.integers(0, 4),
    new=st.text(st.sampled_from(":-?&*!|>%@{}[],#\"'\n\t \0é\ufeff1a"), max_size=4),
)
@settings(max_examples=200)
def test_a_valid_text_with_changes_is_read_or_its_faults_are_named(
    path: Path, place, dropped, new
):
    text = path.read_text(encoding="utf-8")
    start = int(place * len(text))

    assert_read(text[:start] + new + text[start + dropped :], path.parent.name)


def assert_read(text, name):
    document, findings = documents.load(text, schema=name, path="x", shown_as="x")

    assert (document is None) == bool(findings)
    for finding in findings:
        assert finding.message
        assert not RAW.search(re.sub(r'".*?"|\[.*\]|\'.*\'', "", finding.message))
