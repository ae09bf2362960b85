"""The catalogue as static pages: Jinja templates, filled with autoescape."""

from __future__ import annotations

import hashlib
import posixpath
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from model_servers.adapters.markdown import Surroundings, card_html
from model_servers.adapters.site_folder import (
    GENERATOR,
    INDEX_FILE,
    refuse_unless_ours,
    replace_folder,
)
from model_servers.core.canonical import canonical_json
from model_servers.core.presentation import size
from model_servers.core.site.calls import picture_ending
from model_servers.core.site.pages import Catalogue, ModelPage, VersionRow
from model_servers.core.site.plots import HEIGHT, WIDTH, size_plot
from model_servers.core.site.words import figures, verdict

_TEMPLATES = Path(__file__).with_name("site_templates")
_ASSETS = ("style.css", "search.js", "icon.svg")
_FEED_ENTRIES = 100


class StaticPages:
    """Pages in a folder, which any web server or a browser alone can show."""

    def __init__(self, folder: Path, *, url: str | None) -> None:
        """Take a folder.

        Args:
            folder: where the pages go.
            url: where they will be on the web, which the feed wants to know.
        """
        self._folder = folder
        self._url = url
        self._assets = {name: _asset(name) for name in _ASSETS}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters["size"] = size
        self._templates.filters["figures"] = figures
        self._templates.filters["verdict"] = verdict
        self._templates.filters["day"] = _day
        self._templates.filters["urn"] = _urn
        self._templates.globals.update(
            assets={name: path for name, (path, _) in self._assets.items()}
        )

    def write(self, catalogue: Catalogue) -> None:
        """Write all pages, in the place of those that are there."""
        refuse_unless_ours(self._folder)
        replace_folder(self._folder, self._files(catalogue))

    def _files(self, catalogue: Catalogue) -> Iterator[tuple[str, bytes]]:
        render = partial(self._render, catalogue=catalogue)
        yield from self._assets.values()
        yield ".nojekyll", b""  # GitHub Pages would leave some names out
        yield "index.html", render("index.html.j2", root="", facets=_facets(catalogue))
        yield INDEX_FILE, canonical_json(_index(catalogue))
        yield (
            "feed.xml",
            render(
                "feed.xml.j2",
                url=self._url,
                releases=catalogue.releases[:_FEED_ENTRIES],
            ),
        )
        written: set[str] = set()
        for model in catalogue.models:
            card, pictures = _card(model, catalogue)
            yield (
                f"models/{model.name}.html",
                render(
                    "model.html.j2",
                    root="../",
                    model=model,
                    card=card,
                    plot=size_plot(model.versions),
                    plot_width=WIDTH,
                    plot_height=HEIGHT,
                ),
            )
            for path, body in pictures.items():
                if path not in written:
                    yield path, body
                written.add(path)
            for example in model.about.examples if model.about else ():
                yield f"models/{model.name}/{example.file}", example.body

    def _render(self, template: str, **values: Any) -> bytes:
        return self._templates.get_template(template).render(values).encode()


def _asset(name: str) -> tuple[str, bytes]:
    """Give an asset under a name that changes with it, so that it can be cached."""
    body = (_TEMPLATES / name).read_bytes()
    stem, ending = posixpath.splitext(name)
    return f"assets/{stem}.{hashlib.sha256(body).hexdigest()[:16]}{ending}", body


def _day(date: str | None) -> str:
    return date[:10] if date else ""


def _urn(text: str) -> str:
    """Give an identifier that is the same wherever the pages are."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"model-servers {text}").urn


def _facets(catalogue: Catalogue) -> dict[str, list[str]]:
    """Give what models can be filtered by."""
    known = [model.about for model in catalogue.models if model.about]
    return {
        "framework": sorted({about.framework for about in known}),
        "license": sorted({about.license for about in known}),
    }


def _card(model: ModelPage, catalogue: Catalogue) -> tuple[str, dict[str, bytes]]:
    """Give the card as HTML, and the pictures in it by their paths among the pages."""
    about = model.about
    if about is None:
        return "", {}
    shown: dict[str, bytes] = {}

    def picture(source: str) -> str | None:
        file = about.pictures.get(posixpath.normpath(source))
        body = _read(file) if file else b""
        ending = picture_ending(body)
        if ending is None:
            return None
        path = f"pictures/{hashlib.sha256(body).hexdigest()[:16]}.{ending}"
        shown[path] = body
        return f"../{path}"

    def file(path: str) -> str | None:
        if catalogue.repository is None or path.startswith("/"):
            return picture(path)
        inside = posixpath.normpath(posixpath.join(about.root, path))
        if inside.startswith(".."):
            return None
        return f"{catalogue.repository}/blob/HEAD/{quote(inside)}"

    surroundings = Surroundings(picture=picture, file=file)
    return card_html(about.card, surroundings=surroundings), shown


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""


def _index(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "schema": 1,
        "generator": GENERATOR,
        "models": [_model(model) for model in catalogue.models],
    }


def _model(model: ModelPage) -> dict[str, Any]:
    about, latest = model.about, model.latest
    return {
        "name": model.name,
        "page": f"models/{model.name}.html",
        "summary": about and about.summary,
        "license": about and about.license,
        "framework": about and about.framework,
        "maintainers": list(about.maintainers) if about else [],
        "latest": latest and str(latest.version),
        "channels": {channel: str(version) for channel, version in model.channels},
        "versions": [_version(row) for row in model.versions],
    }


def _version(row: VersionRow) -> dict[str, Any]:
    return {
        "version": str(row.version),
        "date": row.date,
        "sha256": row.archive_sha256,
        "size_bytes": row.size_bytes,
        "moved_bytes": row.moved_bytes,
        "git_commit": row.git_commit,
        "tested": [test.to_mapping() for test in row.tested],
        "notice": row.notice and row.notice.to_mapping(),
    }
