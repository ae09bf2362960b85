"""Merges and releases, through the committed workflows, into a store."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

import zoo
from reports import report_of
from servers.fixtures import BUCKET
from servers.proxy import proxy
from servers.s3 import S3Server
from workflows.forge import Bucket, Forge, results
from workflows.forge import forge as forge_at
from workflows.harness.actions import Action
from workflows.harness.worker import Use


@pytest.fixture
def repository(forge: Forge) -> Forge:
    """Two models on main that are not released yet."""
    zoo.make_model(forge.work / "registry", "cat")
    zoo.make_model(forge.work / "registry", "dog", version="2.1.0")
    (forge.work / "registry/dog/CHANGELOG.md").write_text("## 2.1.0\n\nIt barks.\n")
    forge.commit()
    forge.push_main()
    return forge


@dataclass(frozen=True)
class Shelf:
    """The store of a repository, as its bucket has it."""

    client: Any
    prefix: str

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix)
        return [
            one["Key"].removeprefix(f"{self.prefix}/")
            for one in found.get("Contents", ())
        ]

    def document(self, key: str) -> Any:
        found = self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")
        return json.loads(found["Body"].read())


@pytest.fixture
def shelf(forge: Forge, moto_server: S3Server) -> Shelf:
    client = boto3.session.Session(
        moto_server.access_key, moto_server.secret_key, region_name="us-east-1"
    ).client("s3", endpoint_url=moto_server.endpoint_url)
    url = forge.service.variables["MODEL_SERVERS_STORE"]
    return Shelf(client, url.partition(f"{BUCKET}/")[2])


@pytest.fixture
def keys(shelf: Shelf) -> Callable[[], list[str]]:
    """Lists what the store has."""
    return shelf.keys


def released(keys):
    return [key for key in keys() if key.endswith("release.json")]


BOTH = ["models/cat/1.0.0/release.json", "models/dog/2.1.0/release.json"]


def test_a_merge_releases_two_models_and_tells_of_them(repository: Forge, keys):
    found = repository.release()

    assert set(results(found).values()) == {"success"}
    assert released(keys) == BOTH
    assert set(repository.releases()) == {"cat/v1.0.0", "dog/v2.1.0"}
    dog = repository.releases()["dog/v2.1.0"]
    assert dog["notes"].startswith("It barks.\n")
    assert dog["target"] == repository.service.git("rev-parse", "main")
    assert repository.service.git("rev-parse", "dog/v2.1.0^{commit}") == dog["target"]
    assert re.search(r"sha256 \| `[0-9a-f]{64}`", dog["notes"])
    assert (repository.service.folder / "pages/index.html").is_file()


def test_a_release_and_the_catalogue_tell_how_its_bytes_were_tried(
    repository: Forge, shelf: Shelf
):
    repository.release()

    for key in BOTH:
        [tested] = shelf.document(key)["tested"]
        assert [one["case"] for one in tested["golden"]] == ["case"]
        assert tested["measured"]["memory_mib"] == 2048
    page = (repository.service.folder / "pages/models/dog.html").read_text()
    assert "1 golden answer as expected on a CPU; median 1.2 ms, 2048 MiB" in page


def test_a_report_of_other_bytes_than_those_that_were_built_releases_nothing(
    repository: Forge, keys
):
    upload = repository.service.actions["actions/upload-artifact"]

    def forged(use: Use) -> Mapping[str, str]:
        """Stands for a model that has written a report of its own."""
        path = use.workspace / use.inputs["path"]
        rows = json.loads(path.read_text())
        path.write_text(
            json.dumps([{**row, "archive_sha256": "ab" * 32} for row in rows])
        )
        return upload(use)

    replace_action(repository, "actions/upload-artifact", forged)

    found = repository.release()

    assert found["publish"].result == "failure"
    assert "a report tells of cat@1.0.0 as archive abababababab" in found["publish"].log
    assert released(keys) == []


def test_a_server_that_checks_signatures_gets_the_keys_of_the_job(
    tmp_path: Path, strict_bucket: Bucket, warm: Path
):
    repository = forge_at(tmp_path, strict_bucket, warm=warm, stand_ins=("test",))
    zoo.make_model(repository.work / "registry", "cat")
    repository.commit()
    repository.push_main()

    found = repository.release()

    assert set(results(found).values()) == {"success"}, found["publish"].log
    assert set(repository.releases()) == {"cat/v1.0.0"}


def test_nothing_to_release_is_no_failure_and_an_empty_matrix_is_skipped(
    repository: Forge, keys
):
    repository.release()
    before = keys()

    found = repository.release()

    assert results(found) == {
        **dict.fromkeys(("build", "smoke", "publish"), "skipped"),
        **dict.fromkeys(
            ("plan", "announce", "channels", "channels/channels", "catalogue"),
            "success",
        ),
        **dict.fromkeys(("catalogue/site", "catalogue/deploy"), "success"),
    }
    assert keys() == before
    assert "nothing to announce" in found["announce"].log


def test_a_wrong_golden_answer_on_main_releases_nothing(repository: Forge, keys):
    repository.break_golden("cat")
    repository.branch("topic")
    repository.commit()
    repository.merge()

    found = repository.release()

    assert found["smoke"].result == "failure"
    assert found["publish"].result == "skipped"
    assert released(keys) == []
    assert repository.releases() == {}


def replace_action(repository: Forge, name: str, stand_in: Action) -> None:
    actions = repository.service.actions
    repository.service.actions = {**actions, name: stand_in}


def test_other_bytes_than_those_that_were_built_are_not_published_whatever_is_reported(
    repository: Forge, keys
):
    original = repository.service.prepare

    def tampered(workspace):
        """Stands for a runner of the publish job whose checkout is another."""
        original(workspace)
        if "publish" in repository.service.deployments:
            file = workspace / "registry/cat/handler_model.py"
            file.write_text(f"{zoo.HANDLER}# other\n")

    def convinced(use: Use) -> Mapping[str, str]:
        """Stands for reports that speak of that checkout."""
        names = ("cat", "dog")
        rows = [report_of(use.workspace / "registry", name) for name in names]
        folder = Path(use.inputs["path"])
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(rows))
        return {}

    repository.service.prepare = tampered
    replace_action(repository, "actions/download-artifact", convinced)

    found = repository.release()

    assert found["publish"].result == "failure"
    assert re.search(r"cat-1.0.0.mar is \w+, expected \w+", found["publish"].log)
    assert released(keys) == []


def test_a_job_that_a_role_does_not_trust_gets_no_keys(repository: Forge, keys):
    path = repository.work / ".github/workflows/release.yml"
    path.write_text(path.read_text().replace("environment: publish", ""))
    repository.branch("topic")
    repository.commit()
    repository.merge()

    found = repository.release()

    assert found["publish"].result == "failure"
    assert "configure-aws-credentials: there is no role" in found["publish"].log
    assert released(keys) == []


def test_a_branch_that_is_not_main_cannot_deploy(repository: Forge):
    sha = repository.service.git("rev-parse", "main")

    found = repository.release_from("refs/heads/topic", sha)

    assert "may not deploy to store-read" in found["plan"].log


def test_of_two_racing_releases_both_end_well_and_one_is_made(repository: Forge, keys):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(repository.release()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [one["publish"].result for one in found] == ["success", "success"]
    assert released(keys) == BOTH
    assert len([key for key in keys() if key.endswith(".mar")]) == 2


def test_a_release_that_was_killed_before_the_commit_is_made_good_by_the_next(
    repository: Forge, keys, moto_server: S3Server
):
    with proxy(moto_server.endpoint_url) as between:

        def kill_after_the_archive(_: int) -> None:
            if not killed and any(key.endswith(".mar") for key in keys()):
                *_, last = repository.commands()
                killed.append(last["arguments"][0])
                os.kill(last["pid"], signal.SIGKILL)

        killed: list[str] = []
        between.after = kill_after_the_archive
        repository.service.variables["MODEL_SERVERS_ENDPOINT_URL"] = (
            between.endpoint_url
        )

        found = repository.release()

        assert killed == ["publish"]
        assert found["publish"].result == "failure"
        assert released(keys) == []
        assert repository.releases() == {}

        again = repository.release()

    assert set(results(again).values()) == {"success"}
    assert released(keys) == BOTH
    assert set(repository.releases()) == {"cat/v1.0.0", "dog/v2.1.0"}


def test_a_run_that_died_before_its_announcement_is_made_good_by_the_next(
    repository: Forge,
):
    repository.release()
    lost = repository.service.folder / "releases/cat+v1.0.0.json"
    lost.unlink()
    repository.service.git("update-ref", "-d", "refs/tags/cat/v1.0.0")

    found = repository.release()

    assert found["publish"].result == "skipped"
    assert "cat/v1.0.0" in repository.releases()


def test_without_a_store_a_merge_releases_nothing_and_fails_nothing(repository: Forge):
    repository.service.variables.pop("MODEL_SERVERS_STORE")

    found = repository.release()

    assert set(results(found).values()) == {"skipped"}


@pytest.mark.parametrize("text", ["$(touch pwned)", '1.0"; touch pwned; "', "`id`"])
def test_what_a_person_types_is_never_a_command(repository: Forge, text: str):
    for name in ("model", "version", "channel"):
        inputs = {"model": "cat", "version": "1.0.0", "channel": "stable", name: text}
        found = repository.dispatch("promote.yml", **inputs)

        assert found["change"].result == "failure"
    assert not list(repository.service.folder.rglob("pwned"))


def test_every_night_the_store_and_every_model_are_looked_at(repository: Forge):
    found = repository.dispatch("nightly.yml")

    assert results(found)["models"] == "success"
    assert results(found)["store"] == "success"
    tried = [one["arguments"] for one in repository.commands()]
    assert ["fsck"] in tried
    assert [one[1] for one in tried if one[0] == "test"] == ["cat", "dog"]
