"""Releases never change, in a folder and in S3, as the command line shows it."""

import hashlib
import json
import shutil
from pathlib import Path

import boto3
import pytest

from model_servers.cli.main import main
from zoo import version_of

CHECKOUT = Path(__file__).parents[2]
DIGITS = version_of(CHECKOUT / "registry" / "digits")


@pytest.fixture(scope="module", params=["folder", "moto", "radosgw"])
def store(request, tmp_path_factory):
    """Flags that name a store, and a function that lists what is in it."""
    if request.param == "folder":
        folder = tmp_path_factory.mktemp("store")
        yield ["--store", folder.as_uri()], lambda: contents_of(folder)
        return
    fixture = "moto_server" if request.param == "moto" else "radosgw_at"
    s3 = request.getfixturevalue(fixture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # The session in use has read the credentials of the store before.
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        client = boto3.client("s3", endpoint_url=s3.endpoint_url)
        client.create_bucket(Bucket="models")
        flags = ["--store", "s3://models/registry", "--endpoint-url", s3.endpoint_url]
        yield flags, lambda: objects_of(client)


def contents_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def objects_of(client):
    found = client.list_objects_v2(Bucket="models").get("Contents", ())
    return {
        each["Key"].removeprefix("registry/"): client.get_object(
            Bucket="models", Key=each["Key"]
        )["Body"].read()
        for each in found
    }


@pytest.fixture
def registry(tmp_path):
    shutil.copytree(CHECKOUT / "registry", tmp_path / "registry")
    return tmp_path / "registry"


def test_a_released_version_never_changes(store, registry, capsys):
    flags, contents = store
    publish = ["publish", "my_network", "digits", "--registry", str(registry), *flags]
    assert main(publish) == 0
    released = contents()
    assert {key.rpartition("/")[0] for key in released} == {
        "",  # the index
        f"models/digits/{DIGITS}",
        "models/my_network/1.0",
    }
    assert sum(key.endswith("/release.json") for key in released) == 2
    assert main(publish) == 0
    assert "0 released, 2 unchanged" in capsys.readouterr().out
    source = registry / "my_network" / "handler_model.py"
    source.write_text(f"{source.read_text()}\n# another\n")

    status = main(publish)

    assert status == 4
    assert "already released with other inputs: my_network@1.0" in (
        capsys.readouterr().err
    )
    assert contents() == released


def test_a_release_is_fetched_and_what_is_here_is_not_fetched_again(
    store, registry, tmp_path, capsys
):
    flags, contents = store
    main(["publish", "digits", "--registry", str(registry), *flags])
    (archive,) = (
        data
        for key, data in contents().items()
        if key.startswith(f"models/digits/{DIGITS}/") and key.endswith(".mar")
    )
    fetch = ["fetch", "digits@latest", "-o", str(tmp_path / "here"), *flags]
    capsys.readouterr()

    assert main([*fetch, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(fetch) == 0
    line = capsys.readouterr().out

    path = tmp_path / "here" / f"digits-{DIGITS}.mar"
    assert path.read_bytes() == archive
    assert told == {
        "ref": f"digits@{DIGITS}",
        "path": str(path),
        "size": len(archive),
        "sha256": hashlib.sha256(archive).hexdigest(),
        "fetched_bytes": len(archive),
    }
    assert line.startswith(f"{path}  ")
    assert line.endswith("  (0 B fetched)\n")


def test_fetching_what_is_not_released_is_refused(store, tmp_path, capsys):
    flags, _ = store

    assert main(["fetch", "cat@9.9", "-o", str(tmp_path), *flags]) == 4

    assert "cat@9.9 is not released in " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
