"""Catalogues to look at: one of honest models, one of models that mean harm."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import zoo
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.cli.main import main
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.core.release import Archive, Release, ReleasedMember, release_key
from model_servers.core.segments import Run, Segment
from model_servers.core.verdicts import Answered, Passed
from model_servers.journeys.catalog import Catalog
from reports import RIGHT, report_of

PAYLOADS = (
    "<script>window.harmed=1</script>",
    '"><img src=x onerror="window.harmed=1">',
    "'\"><svg/onload=window.harmed=1>",
    "</title></style></textarea><script>window.harmed=1</script>",
    "--><script>window.harmed=1</script><!--",
    "]]><script>window.harmed=1</script>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "javascript:window.harmed=1",
)
"""What would do harm where it is not text."""

EVIL = "".join(PAYLOADS)

EVIL_CARD = f"""\
# {EVIL}

## {EVIL}

{EVIL}

[a link](javascript:window.harmed=1) [another](data:text/html,<script>1</script>)
[here](../../../../etc/passwd) [there](//other.invalid/x) <javascript:window.harmed=1>
![{EVIL}](x" onerror="window.harmed=1) ![remote](https://other.invalid/pixel.png)
![vector](drawing.svg) <base href="https://other.invalid/"> <!-- a comment -->

<iframe src="https://other.invalid"></iframe>
<form action="https://other.invalid"><input name="x"></form>
<style>* {{ display: none }}</style><link rel="stylesheet" href="//other.invalid/a.css">

```{EVIL}
{EVIL}
```

| {EVIL} | b |
| --- | --- |
| {EVIL} | <b onclick="window.harmed=1">c</b> |

</main></body></html><plaintext>
"""

PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100a4b0b5c40000000049454e44ae426082"
)

HONEST_CARD = """\
# steady

Adds one, reliably. See [how good](#how-good-it-is), [the code](handler_model.py),
[elsewhere](https://pytorch.org/) and [nowhere](#not-there).

## How good it is

![a grey dot](golden/dot.png)

| metric | value |
| --- | ---: |
| accuracy | 1.0 |

- one
- two

```python
print("<b>bold</b>")
```
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A catalogue, and what it was made from."""

    pages: Path
    registry: Path
    store: Path

    def text(self, path: str) -> str:
        return (self.pages / path).read_text("utf-8")

    def data(self, path: str):
        return json.loads(self.text(path))

    def html(self) -> list[str]:
        return sorted(
            str(file.relative_to(self.pages)) for file in self.pages.rglob("*.html")
        )


def ms(*arguments) -> None:
    assert main([str(one) for one in arguments]) == 0


def commit(folder: Path, day: str) -> None:
    git = ("git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t")
    moment = f"{day}T12:00:00+02:00"
    for command in (("add", "."), ("commit", "--quiet", "--no-gpg-sign", "-m", "x")):
        subprocess.run(
            [*git, *command],
            check=True,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": moment},
        )


@pytest.fixture(scope="session")
def honest(tmp_path_factory) -> Made:
    """Four models: with versions, new, gone from the registry, and of large batches."""
    folder = tmp_path_factory.mktemp("honest")
    registry, store = folder / "registry", folder / "store"
    registry.mkdir()
    subprocess.run(["git", "init", "--quiet", str(registry)], check=True)
    files = {"README.md": HONEST_CARD, "golden/dot.png": PICTURE}
    zoo.make_model(registry, "gone")
    for version, day, devices in (
        ("1.0.0", "2026-01-02", ()),
        ("1.1.0", "2026-02-03", ("cpu", "gpu")),
    ):
        source = f"{zoo.HANDLER}# {version}\n"
        zoo.make_model(
            registry,
            "steady",
            version=version,
            files={**files, "handler_model.py": source, "golden/dot.yaml": DOT},
            config={"system": {"maxGPUMemory": 100}},
        )
        release(registry, store, day, devices=devices)
    zoo.make_model(
        registry,
        "steady",
        version="1.2.0",
        files={
            **files,
            "checkpoint.pt": zoo.checkpoint_of(1000),
            "golden/dot.yaml": DOT,
        },
    )
    release(registry, store, "2026-03-04", devices=("cpu",))
    say(store)
    subprocess.run(["rm", "-r", str(registry / "gone")], check=True)
    zoo.make_model(registry, "new_one", model={"summary": "Not released so far."})
    pages = folder / "pages"
    ms(
        *("site", "--registry", registry, "--store", store.as_uri(), "-o", pages),
        *("--url", "https://models.invalid/catalogue"),
        *("--repository", "https://code.invalid/owner/models/"),
    )
    return Made(pages=pages, registry=registry, store=store)


DOT = zoo.as_yaml(
    {
        **zoo.CASE,
        "request": {"content_type": "image/png", "file": "dot.png"},
        "expect": {"json": {"grey": 0.5, "names": ["a", "b"]}},
    }
)


def release(registry: Path, store: Path, day: str, *, devices=()) -> None:
    """Release what is new, with reports of tests of steady on devices."""
    commit(registry, day)
    reports = []
    for device in devices:
        told = report_of(registry, "steady", cases=CASES, device=device)
        reports += ["--report", registry.parent / f"{device}.json"]
        reports[-1].write_text(json.dumps([told]))
    ms("publish", "--registry", registry, "--store", store.as_uri(), *reports)


CASES = [RIGHT, {**RIGHT, "case": "dot", "latency_ms": 3.0}]


def say(store: Path) -> None:
    """Deprecate 1.0.0, yank 1.2.0, and let the channel stable point to 1.1.0."""
    at = LocalStore(store)
    notices = {
        "1.0.0": Notice(
            state=State.DEPRECATED,
            reason="it is slow",
            date="2026-02-04",
            replacement=Version.parse("1.1.0"),
        ),
        "1.2.0": Notice(state=State.YANKED, reason="it is wrong", date="2026-03-05"),
    }
    Catalog(store=at, releases=StoredReleases(at)).note(
        {"steady": {Version.parse(one): said for one, said in notices.items()}}
    )
    pointer = {
        "schema": 1,
        "channel": "stable",
        "generation": 1,
        "models": {"steady": "1.1.0"},
    }
    at.swap("channels/stable.json", json.dumps(pointer).encode(), None)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Made:
    """A model that means harm in every text that an author writes."""
    folder = tmp_path_factory.mktemp("hostile")
    registry, store = folder / "registry", folder / "store"
    name = "a<b>'&\"c"
    case = {
        **zoo.CASE,
        "request": {"content_type": "text/html", "text": EVIL},
        "expect": {"json": {EVIL: [EVIL, 1]}},
    }
    zoo.make_model(
        registry,
        "evil",
        files={
            "README.md": EVIL_CARD,
            "drawing.svg": "<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
            f"golden/{name}.yaml": zoo.as_yaml(case),
            "golden/page.html": EVIL,
            "golden/page.yaml": zoo.as_yaml(
                {
                    **zoo.CASE,
                    "request": {"content_type": "text/html", "file": "page.html"},
                }
            ),
        },
        model={
            "summary": EVIL[:200],
            "license": EVIL[:100],
            "maintainers": [EVIL[:90]],
        },
    )
    _release_evil(store)
    pages = folder / "pages"
    ms(
        *("site", "--registry", registry, "--store", store.as_uri(), "-o", pages),
        *("--title", f"Models {EVIL}"),
        *("--repository", "https://code.invalid/owner/models"),
    )
    return Made(pages=pages, registry=registry, store=store)


def _release_evil(store: Path) -> None:
    at = LocalStore(store)
    ref = Ref("evil", Version.parse("1.0.0"))
    digest = "0" * 64
    segments = (Segment((Run(4096, 10),), digest),)
    path = f"a{EVIL.replace('/', '')}"
    members = (ReleasedMember(path, 4096, 10, digest, segments),)
    evil = Release(
        ref=ref,
        archive=Archive(
            size_bytes=5000, sha256=digest, framing_blake3=digest, members=members
        ),
        inputs_digest=digest,
        git_commit=EVIL,
        toolchain={EVIL: EVIL},
        resources={EVIL: 1},
        tested=(
            Passed(
                device="cpu",
                golden=(Answered(case=EVIL[:255], latency_ms=1.0),),
                load_s=1.0,
                p50_ms=1.0,
                p95_ms=1.0,
                memory_mib=None,
            ),
        ),
    )
    at.create(release_key(ref), evil.to_bytes())
    catalog = Catalog(store=at, releases=StoredReleases(at))
    catalog.rebuild()
    notice = Notice(state=State.DEPRECATED, reason=EVIL, date=EVIL)
    catalog.note({"evil": {ref.version: notice}})
    pointer = {"channel": EVIL, "models": {"evil": "1.0.0"}}
    at.swap("channels/x.json", json.dumps(pointer).encode(), None)
