"""The commands that only a pipeline needs: changed, summary, announce, --expect."""

from __future__ import annotations

import json
import os
import stat

import pytest

import zoo
from model_servers.cli import markdown
from model_servers.cli.main import main
from reports import RIGHT, WRONG, report_of
from workflows.harness.service import git

GH = """\
#!/usr/bin/env python3
import json, os, sys
log = os.environ["GH_LOG"]
known = json.load(open(log)) if os.path.exists(log) else []
if sys.argv[1:3] == ["release", "list"]:
    print(json.dumps([{"tagName": one[2]} for one in known]))
elif sys.argv[1:3] == ["release", "create"]:
    if "DOWN" in os.environ:
        sys.exit("HTTP 502")
    known.append([*sys.argv[1:], sys.stdin.read()])
    json.dump(known, open(log, "w"))
"""


@pytest.fixture
def root(tmp_path):
    """A git repository with two models on main."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    zoo.make_model(tmp_path / "registry", "cat")
    zoo.make_model(tmp_path / "registry", "dog", version="2.1.0")
    commit(tmp_path)
    return tmp_path


@pytest.fixture
def ms(root, capsys, monkeypatch):
    monkeypatch.setenv("MODEL_SERVERS_WORK", str(root / "work"))

    def run(*arguments):
        status = main([*arguments, "--registry", str(root / "registry")])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture
def store(tmp_path_factory):
    return ["--store", (tmp_path_factory.mktemp("store") / "s").as_uri()]


@pytest.fixture
def gh(tmp_path_factory, monkeypatch):
    """A ``gh`` that remembers the releases it was asked to make."""
    folder = tmp_path_factory.mktemp("gh")
    program = folder / "gh"
    program.write_text(GH)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GH_LOG", str(folder / "log.json"))
    return lambda: json.loads((folder / "log.json").read_text())


def commit(root):
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--no-gpg-sign", "-m", "a change")
    return git(root, "rev-parse", "HEAD")


def test_changed_lists_what_differs_from_where_the_branch_began(root, ms):
    git(root, "checkout", "--quiet", "-b", "topic")
    (root / "registry/dog/README.md").write_text("# Dog\n")
    commit(root)

    assert ms("changed", "--base", "main") == (0, "dog\n", "")
    assert 'shards=["dog"]' in ms("changed", "--base", "main", "--format", "github")[1]


def test_a_hostile_directory_stops_the_pipeline_before_its_name_is_used(root, ms):
    git(root, "checkout", "--quiet", "-b", "topic")
    zoo.make_model(root / "registry", "a$(touch x)\nany=true")
    commit(root)

    status, out, err = ms("changed", "--base", "main", "--format", "github")

    assert (status, out) == (1, "")
    assert r"'a$(touch x)\\nany=true' cannot name a model" in err


def test_unreleased_lists_what_the_store_lacks(ms, store):
    ms("publish", "cat", *store)

    assert ms("changed", "--unreleased", *store)[1] == "dog\n"


def test_unreleased_refuses_what_can_never_be_released(root, ms, store):
    ms("publish", *store)
    (root / "registry/cat/handler_model.py").write_text(f"{zoo.HANDLER}# other\n")

    status, out, err = ms("changed", "--unreleased", *store)

    assert (status, out) == (4, "")
    assert "already released with other inputs: cat@1.0.0" in err


def test_a_build_elsewhere_must_give_the_same_bytes(ms, root, tmp_path):
    status, out, _ = ms("build", "cat", "dog", "--json", "-o", str(tmp_path / "one"))
    assert (status, set(json.loads(out))) == (0, {"cat-1.0.0.mar", "dog-2.1.0.mar"})

    again = ("build", "cat", "dog", "-o", str(tmp_path / "two"), "--expect", out)
    assert ms(*again)[0] == 0

    (root / "registry/dog/handler_model.py").write_text(f"{zoo.HANDLER}# other\n")
    status, _, err = ms(*again)

    assert status == 4
    assert "dog-2.1.0.mar is" in err
    assert not (tmp_path / "two/dog-2.1.0.mar").exists()


def test_publish_releases_only_the_bytes_that_were_expected(ms, root, store):
    _, out, _ = ms("build", "cat", "--json", "-o", str(root / "dist"))

    assert ms("publish", "cat", *store, "--expect", out)[0] == 0
    assert ms("publish", "dog", *store, "--expect", out)[0] == 4
    assert ms("changed", "--unreleased", *store)[1] == "dog\n"


def test_what_is_tried_as_a_directory_is_no_archive_to_expect(ms):
    status, _, err = ms("test", "cat", "--expect", "{}")

    assert status == 2
    assert "hint: add --layout mar" in err


def test_another_archive_than_expected_is_not_tried(ms):
    status, _, err = ms("test", "cat", "--layout", "mar", "--expect", "{}")

    assert status == 4
    assert "cat-1.0.0.mar is" in err


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": "b"}', "{"])
def test_what_are_no_digests_is_refused(ms, root, text):
    status, _, err = ms("build", "cat", "--expect", text, "-o", str(root / "dist"))

    assert status == 2
    assert "hint: give it what ms build --json printed" in err


def test_every_release_is_announced_once_from_its_commit(ms, root, store, gh):
    (root / "registry/cat/CHANGELOG.md").write_text("## 1.0.0\n\nIt purrs.\n")
    at = commit(root)
    ms("publish", "cat", *store)

    status, out, _ = ms("announce", *store)

    assert (status, out.split()[0]) == (0, "cat/v1.0.0")
    (made,) = gh()
    assert made[:5] == ["release", "create", "cat/v1.0.0", "--target", at]
    assert made[-1].startswith("It purrs.\n")
    assert ms("announce", *store) == (0, "nothing to announce\n", "")


def test_a_release_of_no_commit_is_not_announced(ms, root, store, gh):
    (root / "registry/cat/new.md").write_text("uncommitted")
    ms("publish", "cat", *store)

    status, _, err = ms("announce", *store)

    assert status == 4
    assert "cat@1.0.0 was not published from a commit" in err


def test_a_failure_of_gh_is_told_in_its_own_words(ms, store, gh, monkeypatch):
    monkeypatch.setenv("DOWN", "1")
    ms("publish", "cat", *store)

    status, _, err = ms("announce", *store)

    assert status == 3
    assert "gh release create: HTTP 502" in err


def test_the_summary_tells_what_changed_and_why_a_version_must_be_raised(root, ms):
    git(root, "checkout", "--quiet", "-b", "topic")
    (root / "registry/cat/handler_model.py").write_text(f"{zoo.HANDLER}# faster\n")
    zoo.make_model(root / "registry", "new")
    commit(root)

    status, out, _ = ms("summary", "cat", "new", "--base", "main", "--deleted", "old")

    assert status == 0
    assert "## 2 models" in out
    assert "| MS" in out
    assert "for `handler_model.py`: `ms bump cat`" in out
    assert "| ~ | `handler_model.py` |" in out
    assert "A host that has the one before fetches 1" in out
    assert "### `new` 1.0.0, new: no version is at " in out
    assert "`old` is deleted" in out


def test_the_summary_tells_what_was_measured(root, ms):
    case = {**WRONG, "case": "zeros", "tolerance": {"absolute": 0.1, "relative": 0}}
    row = report_of(
        root / "registry",
        "cat",
        cases=[case, RIGHT],
        archive_bytes=2048,
        measured={
            "load_s": 1.25,
            "latency_ms": {"p50": 2.0, "p95": 3.5},
            "memory_mib": 300,
        },
    )
    broken = {**row, "cases": [], "measured": None, "error": "it | fell", "fix": "look"}
    (root / "report.json").write_text(json.dumps([row, broken]))

    status, out, _ = ms("summary", "--report", str(root / "report.json"))

    assert status == 0
    assert "| **1 of 2 wrong** | 1.2 s | 2.0 ms | 3.5 ms | 300 MiB | 2.0 KiB" in out
    assert "`answer[0]: 2, expected 1` (tolerance 0.1 absolute, 0 relative)" in out
    assert "`cat`: `it \\| fell`. Fix: `look`." in out


def test_a_summary_stays_below_what_github_shows():
    text = markdown.bounded(["x" * 400_000] * 4)

    assert len(text) < 2**20
    assert text.endswith("2 more parts; run `ms summary` to see them")


def test_markdown_of_a_stranger_is_shown_and_does_nothing():
    hostile = "![x](http://e.example/?) </td> | `` ` \n# big"

    assert markdown.code(hostile) == (
        "```![x](http://e.example/?) </td> \\| `` ` \\n# big```"
    )
