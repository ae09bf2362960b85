"""The JSON Schemas, as any editor or generic validator reads them."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

import zoo
from model_servers.adapters import bundled, documents
from model_servers.core import names
from model_servers.core.findings import Code

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted(bundled.schemas().glob("*.schema.json"))
WRITTEN_BY_PEOPLE = ["golden", "model", "model-config", "sync"]
WRITTEN_BY_TOOLS = ["release"]

GUIDE = """\
# TorchServe controls. These parameters are used to control model workers, batching, etc. These parameters are optional, if not provided TorchServe will use default values.

minWorkers: 1   # Minimumum number of workers needed for the model

maxWorkers: 1   # Maximum number of workeres needed for the model, this is the upper limit that TorchServe will scale your model.

maxBatchDelay: 4000     # This is the maximum delay between requests that TorchServe uses to batch requests(in msec). Any requests received within this time limit will be batched upto the batchSize.

responseTimeout: 5200   # This is the maximum delay before TorchServe returns a failed reponse. Please set this appropriately
batchSize: 4    # The batchsize of the model.

deviceType: "gpu"   # This is the device that the model needs to be placed on. [cpu, gpu, neuron]. In case of multiple GPUs on the system, the device is assigned automatically by TorchServe.

deviceIds: [0,1,2,3] # gpu device ids allocated to this model.

# These are extra parameters that we define for our model-servers handler.
system:
  extraFiles: "test.tar.gz"     # This is the extra source code files, adding them here tells the handler what file to unpack.

  maxGPUMemory: 500     # Max GPU Memory needed by model in MB. In case this is set, the model will not be able to access more than the limit.
"""  # noqa: E501 -- the sample of the hosting guide, letter by letter

PROFILE = """\
schema: 1
store: s3://bucket/prefix
model_store: /srv/models
torchserve:
  management: http://127.0.0.1:8081
models:
  tiny: "1.0"
  my_network: latest
drain_s: 2.5
"""


def schema(name):
    path = bundled.schemas() / f"{name}.schema.json"
    return json.loads(path.read_text(encoding="utf-8"))


def errors(name, data):
    """Check as a stranger's tool would: nothing of ours takes part."""
    validator = jsonschema.Draft202012Validator(schema(name))
    return [error.message for error in validator.iter_errors(data)]


def properties(part, place):
    """Yield every property that a schema declares, with its place."""
    for key, inner in part.get("properties", {}).items():
        yield f"{place}.{key}", inner
        yield from properties(inner, f"{place}.{key}")
    for keyword in ("items", "additionalProperties"):
        inner = part.get(keyword)
        if isinstance(inner, dict):
            yield from properties(inner, f"{place}[]")


def test_every_document_has_a_schema():
    found = {path.name.removesuffix(".schema.json") for path in SCHEMAS}

    assert found == {*WRITTEN_BY_PEOPLE, *WRITTEN_BY_TOOLS}


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_is_a_valid_2020_12_schema_and_says_what_it_is(path):
    found = json.loads(path.read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"].endswith(f"/{path.name}")
    assert found["title"]
    assert found["description"]


@pytest.mark.parametrize("name", WRITTEN_BY_PEOPLE)
def test_every_property_that_people_write_says_what_it_is(name):
    silent = [
        place
        for place, part in properties(schema(name), name)
        if not part.get("description")
    ]

    assert silent == []


@pytest.mark.parametrize("name", WRITTEN_BY_PEOPLE + WRITTEN_BY_TOOLS)
def test_unknown_keys_are_refused_everywhere(name):
    whole = schema(name)
    objects = [(name, whole), *properties(whole, name)]
    open_to_all = [
        place
        for place, part in objects
        if "properties" in part and part.get("additionalProperties") is not False
    ]

    assert open_to_all == []


@pytest.mark.parametrize("name", ["golden", "model", "release", "sync"])
def test_our_own_documents_say_their_schema_number(name):
    found = schema(name)

    assert found["properties"]["schema"]["const"] == documents.SCHEMA_NUMBER
    assert "schema" in found["required"]


def test_names_and_versions_are_the_same_everywhere():
    version = f"^{names.VERSION_PATTERN}$".replace("(?:", "(")
    name = f"^{names.NAME_PATTERN}$"

    assert schema("model")["properties"]["version"]["pattern"] == version
    assert schema("release")["properties"]["version"]["pattern"] == version
    assert schema("release")["properties"]["name"]["pattern"] == name
    models = schema("sync")["properties"]["models"]
    assert models["propertyNames"]["pattern"] == name
    assert models["additionalProperties"]["pattern"] == f"^(latest|{version[1:-1]})$"


REGISTRY = [
    *((path, "model") for path in sorted(ROOT.glob("registry/*/model.yaml"))),
    *(
        (path, "model-config")
        for path in sorted(ROOT.glob("registry/*/model-config.yaml"))
    ),
    *((path, "golden") for path in sorted(ROOT.glob("registry/*/golden/*.yaml"))),
]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param(path, name, id=path.relative_to(ROOT).as_posix())
        for path, name in REGISTRY
    ],
)
def test_the_documents_of_the_registry_are_accepted(path, name):
    text = path.read_text(encoding="utf-8")

    assert errors(name, yaml.safe_load(text)) == []
    assert documents.parse(text)[0] == yaml.safe_load(text)


def test_the_registry_has_documents_of_every_kind():
    assert {name for _, name in REGISTRY} == {"model", "model-config", "golden"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("model-config", GUIDE, id="the guide's model config"),
        pytest.param("sync", PROFILE, id="a host profile"),
        pytest.param("model", zoo.as_yaml(zoo.model_document()), id="the zoo's model"),
        pytest.param("golden", zoo.as_yaml(zoo.CASE), id="the zoo's golden case"),
    ],
)
def test_documents_as_people_write_them_are_accepted(name, text):
    assert errors(name, yaml.safe_load(text)) == []
    _, findings = documents.load(text, schema=name, path="x", shown_as="x")
    assert findings == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a/..",
        "./a",
        ".",
        "..",
        "a\\b",
        "a\nb",
        "a\n",
        "",
    ],
)
def test_a_release_cannot_name_a_member_outside_its_tree(path):
    member = {"path": path, "offset": 0, "length": 1, "sha256": "ab" * 32}
    release = {
        "schema": 1,
        "name": "tiny",
        "version": "1.0",
        "archive": {"key": "k", "size": 1, "sha256": "ab" * 32},
        "members": [{**member, "path": "fine/a.py"}, member],
        "inputs_digest": "ab" * 32,
        "git_commit": None,
        "toolchain": {},
        "resources": {},
    }

    found = documents.violations(release, schema="release")

    places = {where for code, where, *_ in found if code is Code.SHAPE}
    assert places == {"members[1].path"}
