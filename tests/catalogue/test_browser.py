"""The catalogue in a real browser, as people and their tools see it."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from catalogue import browser as browsers

ARTEFACTS = Path(__file__).resolve().parents[2] / ".work" / "screenshots"
PAGES = ("index.html", "models/steady.html", "models/new_one.html", "models/gone.html")
WIDTHS = (320, 1440)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def chromium():
    program = browsers.chromium()
    if program is None:
        pytest.skip("there is no Chromium; .ci/install-chromium installs it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


@pytest.fixture
def opened(chromium):
    """Open pages; in the end nothing was wrong with any, and nothing went out."""
    contexts, faults = [], []

    def open_page(address, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda told: faults.append(told.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append("dialog"), dialog.dismiss()))
        page.on("requestfailed", lambda request: faults.extend(failure(request)))
        page.on("response", lambda one: one.ok or faults.append(f"not ok: {one.url}"))
        page.on("request", lambda one: is_near(one.url) or faults.append(one.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def failure(request):
    """What a page that is left no longer loads is no fault of it."""
    if request.failure != "net::ERR_ABORTED":
        yield f"{request.url}: {request.failure}"


def is_near(url):
    return url.startswith(("http://127.0.0.1:", "file://"))


@pytest.fixture(scope="module")
def honest_at(honest):
    with browsers.served(honest.pages) as address:
        yield address


@pytest.fixture(scope="module")
def hostile_at(hostile):
    with browsers.served(hostile.pages) as address:
        yield address


def shown(page):
    return page.locator("#models > li:visible h2").all_inner_texts()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_fits_and_has_no_barrier(opened, honest_at, path, width, scheme):
    viewport = {"width": width, "height": 900}
    page = opened(honest_at + path, viewport=viewport, color_scheme=scheme)

    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    name = f"{Path(path).stem}-{width}-{scheme}.png"
    page.screenshot(path=ARTEFACTS / name, full_page=True)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert barriers(page) == []


def barriers(page):
    """What axe-core finds, which can be found without a person."""
    found = Axe().run(page).response["violations"]
    return [
        (one["impact"], one["id"], node["html"])
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("path", ["index.html", "models/evil.html"])
@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_texts_do_nothing_and_break_nothing(opened, hostile_at, path, width):
    page = opened(hostile_at + path, viewport={"width": width, "height": 900})
    page.wait_for_load_state("networkidle")

    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("footer").is_visible()
    assert barriers(page) == []


def test_what_a_hostile_card_links_to_is_left_alone(opened, hostile_at):
    page = opened(f"{hostile_at}models/evil.html")
    links = page.locator(".card a").evaluate_all("all => all.map(one => one.href)")

    assert {link.split(":")[0] for link in links} <= {"https"}


def test_the_keyboard_alone_finds_a_model(opened, honest_at):
    page = opened(honest_at)
    assert shown(page) == ["gone", "new_one", "steady"]

    page.keyboard.press("/")
    page.keyboard.type("model for")
    page.wait_for_url("**/?q=model+for")
    assert shown(page) == ["steady"]
    assert page.locator("#found").inner_text() == "1 of 3 shown"

    page.keyboard.press("Enter")
    page.wait_for_url("**/models/steady.html")
    assert page.locator("h1").inner_text() == "steady"


def test_escape_and_a_button_clear_the_search(opened, honest_at):
    page = opened(honest_at)
    page.keyboard.press("/")
    page.keyboard.type("no such model")
    assert shown(page) == []

    page.keyboard.press("Escape")
    assert len(shown(page)) == 3
    page.keyboard.type("nor this")
    page.get_by_role("button", name="Clear the search").press("Enter")

    assert len(shown(page)) == 3
    assert page.evaluate("document.activeElement.id") == "words"


def test_a_search_can_be_shared(opened, honest_at):
    page = opened(f"{honest_at}index.html?q=released&framework=no+such")

    assert page.get_by_label("Search").input_value() == "released"
    assert shown(page) == ["new_one"]


def test_the_first_key_leads_past_the_header(opened, honest_at):
    page = opened(f"{honest_at}models/steady.html")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


def test_everything_can_be_read_without_script(opened, honest_at):
    page = opened(honest_at, java_script_enabled=False)

    assert page.locator("#models > li").count() == 3
    assert not page.locator("#search").is_visible()


def test_the_folder_can_be_opened_without_a_server(opened, honest):
    page = opened((honest.pages / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("steady")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/steady.html")

    columns = page.locator("svg.plot rect.moved")
    assert columns.count() == 3
    assert page.evaluate("getComputedStyle(document.body).marginTop") == "0px"
    assert page.locator(".card img").evaluate("picture => picture.naturalWidth") == 1


def test_what_moves_is_drawn_as_large_as_it_is(opened, honest, honest_at):
    page = opened(f"{honest_at}models/steady.html")
    told = honest.data("index.json")["models"][2]["versions"][::-1]

    drawn = [
        [
            one.bounding_box()["height"]
            for one in page.locator(f"svg.plot rect.{kind}").all()
        ]
        for kind in ("kept", "moved")
    ]

    for version, whole, moved in zip(told, *drawn, strict=True):
        share = version["moved_bytes"] / version["size_bytes"]
        assert moved / whole == pytest.approx(share, abs=0.03)
