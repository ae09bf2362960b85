"""What the catalogue says, before it has any form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.core.names import Version
from model_servers.core.site import facts
from model_servers.core.site.pages import Catalogue, ModelPage, VersionRow
from model_servers.core.site.plots import HEIGHT, WIDTH, size_plot
from model_servers.core.site.shapes import shape
from model_servers.core.site.words import figures, needs, plain, verdict
from model_servers.core.verdicts import Answered, Passed

SIZES = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def row(number=0, size_bytes=1000, moved_bytes=10, date=None):
    return VersionRow(
        version=Version.parse(f"1.{number}"),
        date=date,
        archive_sha256="0" * 64,
        size_bytes=size_bytes,
        moved_bytes=moved_bytes,
        git_commit=None,
    )


@given(st.lists(SIZES, max_size=40))
def test_whatever_the_sizes_the_columns_stay_inside_the_plot(sizes):
    newest_first = [row(i, *pair) for i, pair in enumerate(sizes)][::-1]

    plot = size_plot(newest_first)

    assert plot.left_out == max(0, len(sizes) - 24)
    assert len(plot.columns) + plot.left_out == len(sizes)
    ends = [0.0]
    for column in plot.columns:
        assert ends[-1] <= column.x
        assert column.y >= 0
        assert column.height + column.y == pytest.approx(plot.base_y, abs=0.02)
        assert column.moved_height <= column.height
        ends.append(column.x + column.width)
    assert ends[-1] <= WIDTH
    assert plot.base_y < HEIGHT


def test_the_newest_version_always_has_its_label():
    plot = size_plot([row(i) for i in range(23)][::-1])

    assert plot.columns[-1].shows_label
    assert sum(column.shows_label for column in plot.columns) <= 6


@given(JSON)
def test_every_json_value_has_a_shape_of_few_words(value):
    assert shape(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "list"),
        ([1, "a"], "list of 2 x any"),
        ([[1, 2], [0.5, 1]], "list of 2 x list of 2 x number"),
        (None, "null"),
        (True, "true or false"),
        ({str(i): 1 for i in range(14)}, "2 more}"),
        ([[[[[[1]]]]]], "list of 1 x list of 1 x list of 1 x list of 1 x list"),
    ],
)
def test_a_shape_is_told_in_words(value, words):
    assert shape(value).endswith(words)


@pytest.mark.parametrize(
    ("requirements", "name"),
    [
        (None, "PyTorch"),
        ("numpy==2.0\n# onnxruntime\n", "PyTorch"),
        ("numpy==2.0\nonnxruntime==1.23.2\n", "ONNX Runtime"),
        ("Scikit_Learn==1.7\n", "scikit-learn"),
    ],
)
def test_what_computes_is_told_from_the_requirements(requirements, name):
    assert facts.framework(requirements) == name


def test_resources_of_any_name_are_told():
    assert needs({"": 1, "gpu_memory_mib": 2048, "load_ms": 5}) == (
        ("", "1"),
        ("GPU memory", "2,048 MiB"),
        ("Load", "5 ms"),
    )


@given(st.text())
def test_plain_text_has_no_character_that_xml_forbids(text):
    kept = plain(text)

    assert plain(kept) == kept
    assert all(one in "\t\n" or ord(one) >= 0x20 for one in kept)


def passed(device, count, memory_mib=None):
    return Passed(
        device=device,
        golden=(Answered(case="zero", latency_ms=2.0),) * count,
        load_s=1.25,
        p50_ms=2.0,
        p95_ms=3.04,
        memory_mib=memory_mib,
    )


def test_what_a_test_found_is_told_in_words():
    assert verdict(passed("cpu", 1)) == "1 golden answer as expected on a CPU"
    assert verdict(passed("gpu", 2)) == "2 golden answers as expected on a GPU"
    assert figures(passed("cpu", 1, memory_mib=2048)) == (
        ("Loaded in", "1.2 s"),
        ("Latency, median", "2.0 ms"),
        ("Latency, 95th percentile", "3.0 ms"),
        ("Memory of its workers", "2.0 GiB"),
    )
    assert dict(figures(passed("cpu", 1))).keys() == {
        "Loaded in",
        "Latency, median",
        "Latency, 95th percentile",
    }


def test_releases_are_listed_the_newest_first_and_by_name():
    def page(name, *rows):
        return ModelPage(name=name, about=None, versions=rows)

    catalogue = Catalogue(
        title="",
        store=None,
        repository=None,
        models=(
            page("b", row(2, date="2026-01-02"), row(1)),
            page("a", row(9, date="2026-01-02"), row(8, date="2026-01-01")),
        ),
    )

    listed = [(page.name, one.version.text) for page, one in catalogue.releases]
    assert listed == [("a", "1.9"), ("b", "1.2"), ("a", "1.8")]
    assert catalogue.updated == "2026-01-02"
