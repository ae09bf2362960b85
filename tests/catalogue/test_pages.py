"""What readers and programs get from the catalogue."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

import zoo
from catalogue import markup
from model_servers.cli.main import main

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(params=["honest", "hostile"])
def made(request):
    return request.getfixturevalue(request.param)


def page(made, path):
    return markup.parse(made.text(path))


def test_every_page_is_valid_html_with_unique_ids(made):
    assert len(made.html()) >= 2
    for path in made.html():
        ids = Counter(markup.ids(page(made, path)))
        assert [one for one, count in ids.items() if count > 1] == []


def test_everything_that_names_an_id_names_one_that_is_there(made):
    for path in made.html():
        tree = page(made, path)
        named = {
            one
            for element in markup.elements(tree)
            for attribute in ("for", "aria-labelledby", "aria-describedby")
            for one in (element.get(attribute) or "").split()
        }
        assert named <= set(markup.ids(tree))


def test_every_link_leads_somewhere(made):
    assert {path: markup.broken(made.pages, path) for path in made.html()} == {
        path: [] for path in made.html()
    }


def test_nothing_is_loaded_from_another_host(made):
    for path in made.html():
        for element in markup.elements(page(made, path)):
            loaded = element.get(markup.LOADED.get(markup.name(element), "src"))
            is_alternate = element.get("rel") == "alternate"
            assert is_alternate or loaded is None or ":" not in loaded
            assert loaded is None or not loaded.startswith("//")


def test_every_page_forbids_script_and_style_that_is_not_its_own(made):
    for path in made.html():
        policies = [
            one.get("content")
            for one in markup.elements(page(made, path))
            if one.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policies == [POLICY]
        assert " style=" not in made.text(path)


def test_the_list_tells_of_every_model(honest):
    told = markup.text(page(honest, "index.html"))

    for words in (
        "3 models for TorchServe",
        "steady A model for tests. 1.1.0",
        "stable 1.1.0",
        "tested 1.1.0",
        "new_one Not released so far. not released",
        "gone No longer in the registry; its releases stay. 1.0.0",
    ):
        assert words in told


def test_a_model_is_described_by_its_registry_its_releases_and_its_test(honest):
    told = markup.text(page(honest, "models/steady.html"))

    for words in (
        "Latest 1.1.0 of 2026-02-03",
        "Channel stable 1.1.0",
        "Licence Apache-2.0",
        "Maintainers @model-servers",
        "GPU memory 100 MiB",
        "Version 1.1.0 in a real TorchServe, before it was released.",
        "2 golden answers as expected on a CPU Loaded in 2.2 s",
        "2 golden answers as expected on a GPU Loaded in 2.2 s",
        "Memory of its workers 2.0 GiB",
        "dot as expected 3.0 ms",
        "models: steady: stable",
        "dot image/png image/png, 67 bytes {grey: number, names: list of 2 x text}",
        "case application/json list of 2 x integer list of 2 x integer",
    ):
        assert words in told


def test_versions_come_with_what_they_move_and_what_is_said_of_them(honest):
    versions = rows(page(honest, "models/steady.html"), "v1")
    index = honest.data("index.json")["models"][2]["versions"]

    assert [row[:2] for row in versions] == [
        ["1.2.0 yanked", "2026-03-04"],
        ["1.1.0 stable", "2026-02-03"],
        ["1.0.0 deprecated", "2026-01-02"],
    ]
    tested = "2 golden answers as expected on a {}; median 1.2 ms, 2048 MiB"
    assert [row[4] for row in versions] == [
        tested.format("CPU"),
        f"{tested.format('CPU')} {tested.format('GPU')}",
        "not reported",
    ]
    assert [one["tested"][0]["golden"][1] for one in index[:2]] == [
        {"case": "dot", "verdict": "passed", "latency_ms": 3.0}
    ] * 2
    assert [row[3] for row in versions][1] == f"{index[1]['moved_bytes']} B"
    # 1.1.0 changed one source file; the checkpoint alone has 2048 bytes
    assert index[1]["moved_bytes"] < 2048 < index[2]["moved_bytes"]
    assert index[2]["moved_bytes"] < index[2]["size_bytes"]
    told = markup.text(page(honest, "models/steady.html"))
    assert "1.2.0 yanked on 2026-03-05: it is wrong" in told
    assert "1.0.0 deprecated on 2026-02-04: it is slow. Use 1.1.0" in told


def rows(tree, start):
    return [
        [" ".join("".join(cell.itertext()).split()) for cell in row]
        for row in markup.elements(tree)
        if markup.name(row) == "tr" and (row.get("id") or "").startswith(start)
    ]


def test_a_card_is_rendered_below_the_pages_own_headings(honest):
    tree = page(honest, "models/steady.html")
    card = next(one for one in markup.elements(tree) if one.get("class") == "card")
    kinds = {markup.name(one) for one in markup.elements(card)}
    links = {link for link in markup.links(card) if not link.startswith("../pictures/")}

    assert {"h2", "h3", "p", "table", "ul", "pre", "img"} <= kinds
    assert "h1" not in kinds
    assert 'print("<b>bold</b>")' in "".join(card.itertext())
    assert links == {
        "#card-how-good-it-is",
        "https://code.invalid/owner/models/blob/HEAD/registry/steady/handler_model.py",
        "https://pytorch.org/",
    }


def test_a_picture_of_the_card_is_copied(honest):
    tree = page(honest, "models/steady.html")
    [picture] = [one for one in markup.elements(tree) if markup.name(one) == "img"]

    assert picture.get("alt") == "a grey dot"
    copied = (honest.pages / "models" / picture.get("src")).read_bytes()
    assert copied == (honest.registry / "steady/golden/dot.png").read_bytes()


def test_requests_can_be_downloaded_as_what_they_are(honest):
    folder = honest.pages / "models" / "steady"

    assert (folder / "case.json").read_bytes() == b"[1,2]"
    sent = (honest.registry / "steady/golden/dot.png").read_bytes()
    assert (folder / "dot.png").read_bytes() == sent


def test_the_index_is_for_programs(honest):
    index = honest.data("index.json")
    steady = index["models"][2]

    assert (index["schema"], index["generator"]) == (1, "ms site")
    assert [one["name"] for one in index["models"]] == ["gone", "new_one", "steady"]
    assert steady["latest"] == "1.1.0"
    assert steady["channels"] == {"stable": "1.1.0"}
    assert steady["versions"][0]["notice"]["state"] == "yanked"
    assert steady["versions"][2]["date"] == "2026-01-02T10:00:00Z"


def test_the_feed_has_every_release_the_newest_first(honest):
    feed = ET.fromstring(honest.text("feed.xml"))
    entries = feed.findall(f"{ATOM}entry")

    assert feed.findtext(f"{ATOM}updated") == "2026-03-04T10:00:00Z"
    assert [one.findtext(f"{ATOM}title") for one in entries] == [
        "steady 1.2.0",
        "steady 1.1.0",
        "gone 1.0.0",
        "steady 1.0.0",
    ]
    identifiers = {one.findtext(f"{ATOM}id") for one in [feed, *entries]}
    assert len(identifiers) == 5
    assert entries[0].find(f"{ATOM}link").get("href") == (
        "https://models.invalid/catalogue/models/steady.html"
    )
    assert all(one.findtext(f"{ATOM}updated") for one in entries)


def test_the_same_registry_and_store_give_the_same_bytes(honest, tmp_path):
    again = tmp_path / "pages"

    for _ in range(2):  # the second time in the place of the first
        site(honest, again, "--store", honest.store.as_uri())
    first = {path: (again / path).read_bytes() for path in files(again)}
    site(honest, tmp_path / "other", "--store", honest.store.as_uri())

    assert files(tmp_path / "other") == files(again)
    assert all(
        (tmp_path / "other" / path).read_bytes() == body for path, body in first.items()
    )
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "pages"]


def site(made, target, *options, status=0):
    arguments = ["site", "--registry", str(made.registry), "-o", str(target)]
    assert main([*arguments, *options]) == status


def files(folder):
    return sorted(
        str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()
    )


def test_pages_that_no_model_has_any_more_go(honest, tmp_path):
    registry, pages = tmp_path / "registry", tmp_path / "pages"
    zoo.make_model(registry, "one")
    zoo.make_model(registry, "two")
    assert main(["site", "--registry", str(registry), "-o", str(pages)]) == 0
    shutil.rmtree(registry / "two")

    assert main(["site", "--registry", str(registry), "-o", str(pages)]) == 0

    assert sorted(one.name for one in (pages / "models").iterdir()) == [
        "one",
        "one.html",
    ]


def test_a_folder_that_holds_anything_else_is_left_alone(honest, tmp_path, capsys):
    (tmp_path / "work.txt").write_text("mine")

    site(honest, tmp_path, status=4)

    assert files(tmp_path) == ["work.txt"]
    assert "holds no catalogue" in capsys.readouterr().err


def test_without_a_store_the_registry_alone_is_shown(honest, tmp_path):
    site(honest, tmp_path / "pages")

    told = markup.text(markup.parse((tmp_path / "pages/index.html").read_text()))
    assert "2 models" in told
    assert told.count("not released") == 2


def test_a_release_that_the_index_does_not_have_is_shown(honest, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(honest.store, store)
    (store / "index.json").unlink()

    site(honest, tmp_path / "pages", "--store", store.as_uri())

    index = json.loads((tmp_path / "pages/index.json").read_bytes())
    assert [len(one["versions"]) for one in index["models"]] == [1, 0, 3]


def test_a_model_whose_documents_are_not_in_order_keeps_its_releases(honest, tmp_path):
    registry = tmp_path / "registry"
    shutil.copytree(honest.registry, registry)
    (registry / "steady/model.yaml").write_text("schema: 1\nname: [\n")
    pages = tmp_path / "pages"
    store = honest.store.as_uri()

    arguments = ["--registry", str(registry), "--store", store, "-o", str(pages)]
    assert main(["site", *arguments]) == 0

    told = markup.text(markup.parse((pages / "models/steady.html").read_text()))
    assert "its documents are not in order" in told
    assert "Latest 1.1.0" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repository", "javascript:alert(1)"], "no web address"),
        (["--url", "models"], "no web address"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_written(
    honest, tmp_path, capsys, options, message
):
    site(honest, tmp_path / "pages", *options, status=2)

    assert message in capsys.readouterr().err
    assert not (tmp_path / "pages").exists()
