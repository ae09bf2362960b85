"""Versions by content: what ``ms validate`` and ``ms diff`` say of a change."""

import hashlib
import json
import shutil
import subprocess

import pytest

import zoo
from model_servers.cli.main import main

CHANGED = {"handler_model.py": f"{zoo.HANDLER}# faster\n"}


@pytest.fixture
def root(tmp_path):
    """A git repository with one model on main."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    zoo.make_model(tmp_path / "registry")
    commit(tmp_path)
    return tmp_path


@pytest.fixture
def ms(root, capsys):
    def run(command, *arguments):
        # No version depends on what a model does when it is imported.
        flags = ["--static"] if command == "validate" else []
        registry = ["--registry", str(root / "registry")]
        status = main([command, *arguments, *flags, *registry])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture
def store(tmp_path_factory):
    return ["--store", (tmp_path_factory.mktemp("store") / "s").as_uri()]


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "gc.auto=0")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(root):
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--no-gpg-sign", "-m", "a change")
    return git(root, "rev-parse", "HEAD")


def make(root, name="tiny", **changes):
    return zoo.make_model(root / "registry", name, **changes)


def test_inputs_that_changed_under_a_released_version_are_found(ms, root, store):
    assert ms("publish", *store)[0] == 0
    make(root, files={**CHANGED, "golden/case.yaml": zoo.as_yaml(zoo.CASE) + "\n"})

    status, out, err = ms("validate", *store)

    assert (status, err) == (1, "")
    assert out == (
        "registry/tiny/model.yaml:3:1: version: MS070 the inputs changed under 1.0.0, "
        f"released in {store[1]}: MAR-INF/golden/case.yaml, handler_model.py\n"
        "    fix: raise it to 1.0.1: `ms bump tiny`\n"
        "1 model: 1 finding\n"
    )
    assert ms("bump", "tiny", *store)[0] == 0
    assert ms("validate", *store)[0] == 0


def test_what_is_no_input_changes_freely(ms, root, store):
    assert ms("publish", *store)[0] == 0
    make(root, files={"README.md": "# tiny\n"}, model={"summary": "Another."})

    assert ms("validate", *store)[:2] == (0, "1 model: no findings\n")
    assert ms("validate", "--base", "main")[:2] == (0, "1 model: no findings\n")


def test_a_version_below_a_released_one_is_found(ms, root, store):
    make(root, version="1.2.0")
    assert ms("publish", *store)[0] == 0
    make(root, version="1.1.0")

    status, out, _ = ms("validate", *store)

    assert status == 1
    assert f"MS071 the version is 1.1.0, but 1.2.0 is released in {store[1]}\n" in out
    assert "raise it to 1.2.1: `ms bump tiny`" in out


@pytest.mark.parametrize("is_committed", [True, False])
def test_inputs_that_changed_since_the_merge_base_are_found(ms, root, is_committed):
    base = git(root, "rev-parse", "HEAD")
    git(root, "switch", "--quiet", "-c", "branch")
    make(root, files=CHANGED)
    if is_committed:
        commit(root)
    git(root, "branch", "--force", "elsewhere")
    before = git(root, "status", "--porcelain")

    status, out, _ = ms("validate", "--base", "main")

    assert status == 1
    assert (
        f"MS070 the inputs changed under 1.0.0, at {base[:7]}, the merge base with main"
        ": handler_model.py\n" in out
    )
    assert git(root, "status", "--porcelain") == before


def test_a_version_below_that_of_the_merge_base_is_found(ms, root):
    make(root, version="0.9.0")

    assert (
        "MS071 the version is 0.9.0, but 1.0.0 is at"
        in ms("validate", "--base", "main")[1]
    )


def test_a_raised_version_is_fine(ms, root):
    make(root, version="1.0.1", files=CHANGED)

    assert ms("validate", "--base", "main") == (0, "1 model: no findings\n", "")


def test_only_what_changed_is_validated_and_what_is_deleted_is_told(ms, root):
    make(root, "wrong", files={"checkpoint.pt": None})
    make(root, "old")
    commit(root)
    subprocess.run(["rm", "-r", str(root / "registry" / "old")], check=True)
    make(root, "new")

    status, out, err = ms("validate", "--base", "main")

    assert (status, out) == (0, "1 model: no findings\n")
    assert err.startswith("note: old was there at ")
    assert err.count("\n") == 1
    assert ms("validate", "--base", "main", "--all")[0] == 1


def test_main_may_have_gone_on(ms, root):
    git(root, "switch", "--quiet", "-c", "branch")
    git(root, "switch", "--quiet", "main")
    make(root, "later", files={"checkpoint.pt": None})
    commit(root)
    git(root, "switch", "--quiet", "branch")

    assert ms("validate", "--base", "main") == (0, "no models: no findings\n", "")


def test_weights_that_are_not_in_git_are_compared_by_their_declared_digest(ms, root):
    sha256 = hashlib.sha256(zoo.CHECKPOINT).hexdigest()
    declared = {"checkpoint": {"sha256": sha256, "size": len(zoo.CHECKPOINT)}}
    (root / ".gitignore").write_text("*.pt\n")
    git(root, "rm", "--quiet", "--cached", "registry/tiny/checkpoint.pt")
    make(root, model=declared)
    commit(root)

    assert ms("validate", "tiny", "--base", "main")[0] == 0
    make(root, model=declared, files=CHANGED)
    assert "main: handler_model.py\n" in ms("validate", "--base", "main")[1]


def test_a_store_that_cannot_be_reached_falls_back_to_the_merge_base(ms, root):
    make(root, files=CHANGED)
    (root / "store").symlink_to("store")  # leads nowhere
    store = ["--store", (root / "store").as_uri()]

    with_base = ms("validate", "--base", "main", *store)
    alone = ms("validate", *store)

    assert with_base[0] == 1
    assert "MS070" in with_base[1]
    assert with_base[2].startswith("note: versions are compared at ")
    assert alone[:2] == (0, "1 model: no findings\n")
    assert alone[2].startswith("note: versions are not checked: ")


def test_a_shallow_clone_is_told_what_to_fetch(ms, root):
    git(root, "checkout", "--quiet", "--orphan", "elsewhere")
    (root / "README.md").write_text("another beginning")
    commit(root)

    status, out, err = ms("validate", "--base", "main")

    assert (status, out) == (2, "")
    assert err.endswith("hint: git fetch --unshallow\n")


def test_a_branch_that_git_does_not_know_is_told(ms):
    status, _, err = ms("validate", "--base=--output=x")

    assert status == 2
    assert err.startswith("ms: git knows no commit '--output=x'")


def test_outside_git_there_is_no_base(capsys, tmp_path):
    zoo.make_model(tmp_path / "registry")

    status = main(["validate", "--base", "main", "--registry", f"{tmp_path}/registry"])

    assert status == 2
    assert "is in no git checkout" in capsys.readouterr().err


def test_diff_shows_members_bytes_and_whether_the_version_must_be_raised(
    ms, root, store
):
    assert ms("publish", *store)[0] == 0
    same = ms("diff", "tiny", *store)
    new = {**CHANGED, "labels.txt": "cat\n"}
    make(root, files=new, model={"build": {"extra_files": ["labels.txt"]}})

    status, out, _ = ms("diff", "tiny", *store)

    def told(data):
        return f"{len(data)} B {hashlib.sha256(data.encode()).hexdigest()[:12]}"

    old, faster = zoo.HANDLER, new["handler_model.py"]

    assert same[1] == (f"tiny 1.0.0  (released in {store[1]})\nno changes, 0 B new\n")
    assert status == 0
    assert out == (
        f"tiny 1.0.0  (released in {store[1]})\n"
        f"  ~ handler_model.py  {told(old)} -> {told(faster)}\n"
        f"  + labels.txt  {told(new['labels.txt'])}\n"
        f"2 changes, {len(faster) + 4} B new\n"
        "the version must be raised: ms bump tiny\n"
    )


def test_diff_with_the_merge_base_is_for_programs_too(ms, root):
    make(root, version="1.1.0", files=CHANGED)

    status, out, _ = ms("diff", "tiny", "--base", "main", "--json")

    found = json.loads(out)
    assert status == 0
    assert (found["before"], found["after"]) == ("1.0.0", "1.1.0")
    assert [change["path"] for change in found["changes"]] == ["handler_model.py"]
    assert found["needs_bump"] is False


def test_diff_of_a_new_model_is_all_new(ms, root, store):
    make(root, "other")
    assert ms("publish", "other", *store)[0] == 0

    status, out, _ = ms("diff", "tiny", *store)

    assert status == 0
    assert out.startswith(f"tiny 1.0.0  (no version is released in {store[1]})\n  + ")
    assert "\n  ~ the shared handler, " in out


def test_a_folder_that_is_not_there_is_no_store_without_releases(ms, root, tmp_path):
    gone = tmp_path / "gone"
    flags = ["--store", gone.as_uri()]
    told = f"there is no store in {gone}"

    refused = [
        ms("diff", "tiny", *flags),
        ms("promote", "tiny", "1.0.0", "stable", *flags),
        ms("yank", "tiny", "1.0.0", "--reason", "wrong", *flags),
    ]
    validated = ms("validate", "tiny", *flags)
    bumped = ms("bump", "tiny", *flags)

    assert [(status, told in err) for status, _, err in refused] == [(3, True)] * 3
    assert (validated[0], bumped[0]) == (0, 0)
    assert f"note: versions are not checked: {told}" in validated[2]
    assert f"note: released versions are not looked at: {told}" in bumped[2]
    assert not gone.exists()
    assert ms("publish", "tiny", *flags)[0] == 0


def test_diff_needs_something_to_compare_with(ms, root):
    status, _, err = ms("diff", "tiny")

    assert status == 2
    assert "hint: add --base main, or --store" in err


def test_a_name_that_is_easily_taken_for_a_released_one_is_found(ms, root, store):
    make(root, "big_cat")
    assert ms("publish", *store)[0] == 0
    shutil.rmtree(root / "registry" / "big_cat")
    make(root, "big-cat")

    alone = ms("validate", "big-cat")
    status, out, _ = ms("validate", "big-cat", *store)

    assert alone[0] == 0
    assert status == 1
    assert "MS011 'big-cat' is easily taken for the model 'big_cat'" in out
