"""Stand-ins for the actions that our workflows use; each does something checkable.

What they ask of a job (permissions, an environment) is what the real ones need.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from workflows.harness.service import git
from workflows.harness.worker import ActionError, Use

Action: TypeAlias = Callable[[Use], Mapping[str, str]]


def checkout(use: Use) -> Mapping[str, str]:
    """Clone at the event's commit, as deep as asked for, and no deeper."""
    if "contents" not in use.permissions:
        raise ActionError("checkout: the token may not read contents")
    if use.inputs.get("allow-unsafe-pr-checkout"):
        raise ActionError("checkout: an unsafe input is set")
    depth = int(use.inputs.get("fetch-depth") or 1)
    wanted = use.inputs.get("ref") or use.event.sha
    limit = [] if depth == 0 else [f"--depth={depth}"]
    source = use.service.origin.as_uri()  # a path would ignore the depth
    git(use.workspace, "init", "--quiet", "--initial-branch=main")
    git(use.workspace, "remote", "add", "origin", source)
    refs = [wanted]
    if depth == 0:
        refs.append("+refs/heads/*:refs/remotes/origin/*")
    git(use.workspace, "fetch", "--quiet", *limit, "origin", *refs)
    tip = git(use.workspace, "rev-parse", "FETCH_HEAD")
    if wanted == "main":
        git(use.workspace, "checkout", "--quiet", "-B", "main", tip)
    else:
        git(use.workspace, "checkout", "--quiet", "--detach", tip)
    keeps = use.inputs.get("persist-credentials", "true") == "true"
    if not keeps or use.permissions["contents"] != "write":
        git(use.workspace, "remote", "set-url", "--push", "origin", "/no-credentials")
    use.service.prepare(use.workspace)
    return {"commit": tip}


def setup_python(use: Use) -> Mapping[str, str]:
    """Offer the machine's Python, and restore a cache only where one may be."""
    if use.inputs.get("cache") and use.cache_mode == "none":
        raise ActionError("setup-python: this job may not restore a cache")
    return {"python-version": use.inputs["python-version"]}


def upload_artifact(use: Use) -> Mapping[str, str]:
    """Keep files under a name that only one upload can have."""
    target = use.service.artifacts(use.run_id) / use.inputs["name"]
    if target.exists():
        raise ActionError(f"upload-artifact: {target.name} is there already")
    found = [
        path
        for pattern in use.inputs["path"].split()
        for path in use.workspace.glob(pattern)
    ]
    files = [file for path in found for file in _files(path)]
    if not files and use.inputs.get("if-no-files-found") == "error":
        raise ActionError(f"upload-artifact: no files at {use.inputs['path']}")
    base = _common(files, use.workspace)
    for file in files:
        _copy(file, target / file.relative_to(base))
    return {"artifact-digest": _digest(target)}


def download_artifact(use: Use) -> Mapping[str, str]:
    """Give the files of one upload of this run, or of all that fit a pattern."""
    kept = use.service.artifacts(use.run_id)
    target = use.workspace / use.inputs.get("path", ".")
    name = use.inputs.get("name")
    if name is not None and not (kept / name).is_dir():
        raise ActionError(f"download-artifact: there is no artifact {name}")
    pattern = name or use.inputs["pattern"]
    found = sorted(kept.glob(pattern)) if kept.is_dir() else []
    merges = len(found) == 1 or use.inputs.get("merge-multiple") == "true"
    for artifact in found:
        to = target if merges else target / artifact.name
        for file in _files(artifact):
            _copy(file, to / file.relative_to(artifact))
    return {"download-path": str(target)}


def aws_credentials(
    roles: Mapping[str, tuple[str | None, Mapping[str, str]]],
) -> Action:
    """Exchange the token of a job for keys, if its role trusts the job.

    Args:
        roles: by name: the environment that a role trusts, and its keys.
    """

    def exchange(use: Use) -> Mapping[str, str]:
        if use.permissions.get("id-token") != "write":
            raise ActionError("configure-aws-credentials: id-token: write is missing")
        role = use.inputs["role-to-assume"]
        environment, keys = roles.get(role, (None, {}))
        if not keys:
            raise ActionError(f"configure-aws-credentials: there is no role {role!r}")
        if use.environment != environment:
            raise ActionError(
                f"configure-aws-credentials: {role} trusts {environment}, not "
                f"{use.environment}"
            )
        use.env.update(keys, AWS_REGION=use.inputs["aws-region"])
        return {}

    return exchange


def upload_pages(use: Use) -> Mapping[str, str]:
    """Keep a site for the deployment."""
    source = use.workspace / use.inputs["path"]
    if not (source / "index.html").is_file():
        raise ActionError("upload-pages-artifact: there is no index.html")
    shutil.copytree(source, use.service.artifacts(use.run_id) / "github-pages")
    return {}


def deploy_pages(use: Use) -> Mapping[str, str]:
    """Show the kept site to the world."""
    wanted = {"pages": "write", "id-token": "write"}
    if wanted.items() - use.permissions.items():
        raise ActionError("deploy-pages: pages and id-token must be writable")
    kept = use.service.artifacts(use.run_id) / "github-pages"
    target = use.service.folder / "pages"
    with use.service.deploying:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(kept, target)
    return {"page_url": "https://acme.github.io/models/"}


def attest(use: Use) -> Mapping[str, str]:
    """Write down what was attested, as the log of the transparency service does."""
    for name in ("id-token", "attestations"):
        if use.permissions.get(name) != "write":
            raise ActionError(f"attest: {name}: write is missing")
    subjects = (use.workspace / use.inputs["subject-checksums"]).read_text("utf-8")
    log = use.service.folder / "attestations.jsonl"
    with log.open("a", encoding="utf-8") as file:
        print(json.dumps({"commit": use.event.sha, "subjects": subjects}), file=file)
    return {}


STANDARD: Mapping[str, Action] = {
    "actions/checkout": checkout,
    "actions/setup-python": setup_python,
    "actions/upload-artifact": upload_artifact,
    "actions/download-artifact": download_artifact,
    "actions/upload-pages-artifact": upload_pages,
    "actions/deploy-pages": deploy_pages,
    "actions/attest": attest,
}


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def _common(files: list[Path], workspace: Path) -> Path:
    parents = {file.parent for file in files}
    return parents.pop() if len(parents) == 1 else workspace


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(folder):
        digest.update(file.read_bytes())
    return digest.hexdigest()
