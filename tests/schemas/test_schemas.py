"""The JSON Schemas, as any editor or generic validator reads them."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

import zoo
from model_servers.adapters import bundled, documents
from model_servers.core import names
from model_servers.core.findings import Code
from model_servers_handler.options import HandlerOptions, SystemOptions
from schemas.known import NAMES, VALID, VALID_DOCUMENTS, schema

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted(bundled.schemas().glob("*.schema.json"))
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


def errors(name, data):
    """Check as a stranger's tool would: nothing of ours takes part."""
    validator = jsonschema.Draft202012Validator(schema(name))
    return [error.message for error in validator.iter_errors(data)]


def parts(part, place):
    """Yield every value that a schema describes, with its place: itself first."""
    yield place, part
    for key, inner in part.get("properties", {}).items():
        yield from parts(inner, f"{place}.{key}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(part.get(keyword), dict):
            yield from parts(part[keyword], f"{place}[]")


def subschemas(part):
    """Yield every schema in a schema, those that only say what must not be too."""
    yield part
    for keyword, inner in part.items():
        if keyword in ("properties", "dependentSchemas"):
            for each in inner.values():
                yield from subschemas(each)
        elif keyword in ("allOf", "anyOf", "oneOf"):
            for each in inner:
                yield from subschemas(each)
        elif isinstance(inner, dict) and keyword in SCHEMA_KEYWORDS:
            yield from subschemas(inner)


SCHEMA_KEYWORDS = {"items", "additionalProperties", "propertyNames", "if", "then"}


def test_every_document_has_a_schema():
    found = {path.name.removesuffix(".schema.json") for path in SCHEMAS}

    assert found == set(NAMES)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_is_a_valid_2020_12_schema_and_says_what_it_is(path):
    found = json.loads(path.read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"].endswith(f"/{path.name}")
    assert found["title"]
    assert found["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_says_what_it_is(name):
    silent = [
        place
        for place, part in parts(schema(name), name)
        if not part.get("description")
    ]

    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_every_property_has_a_title_and_an_example(name):
    bare = [
        f"{place}.{key}"
        for place, part in parts(schema(name), name)
        for key, inner in part.get("properties", {}).items()
        if "title" not in inner or not EXAMPLES & inner.keys()
    ]

    assert bare in ([], ["model-config.handler.warmup.json"])  # anything at all


EXAMPLES = {"examples", "default"}


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_unit_and_a_least_value(name):
    numbers = [
        (place, part)
        for place, part in parts(schema(name), name)
        if part.get("type") in ("integer", "number") and "const" not in part
    ]

    assert [place for place, part in numbers if not part.get("unit")] == []
    unbounded = [place for place, part in numbers if "minimum" not in part]
    assert unbounded in ([], ["release.resources[]"])


@pytest.mark.parametrize("name", NAMES)
def test_every_example_and_default_is_accepted(name):
    refused = [
        (place, example, error.message)
        for place, part in parts(schema(name), name)
        for example in [*part.get("examples", ()), *defaults(part)]
        for error in jsonschema.Draft202012Validator(part).iter_errors(example)
    ]

    assert refused == []
    assert schema(name)["examples"]


def defaults(part):
    return [part["default"]] if "default" in part else []


OPEN = {
    "model-config.handler",
    "model-config.pt2",
    "model-config.pt2.compile",
    "model-config.pt2.export",
    "model-config.micro_batching",
    "model-config.pippy",
    "model-config.deepspeed",
    "model-config.dali",
}
"""What TorchServe's Python reads, and users' handlers too: keys of their own."""


@pytest.mark.parametrize("name", NAMES)
def test_unknown_keys_are_refused_everywhere_else(name):
    open_to_all = {
        place
        for place, part in parts(schema(name), name)
        if "properties" in part and part.get("additionalProperties") is not False
    }

    assert open_to_all == {place for place in OPEN if place.startswith(f"{name}.")}


@pytest.mark.parametrize("name", NAMES)
def test_what_no_single_value_breaks_is_explained_by_the_schema(name):
    hard = {"anyOf", "oneOf", "not", "dependentRequired", "contains", "format"}
    unexplained = [
        part
        for part in subschemas(schema(name))
        if hard & part.keys() and not {"errorMessage", "pattern"} & part.keys()
    ]

    assert unexplained == []


def test_the_options_of_the_shared_handler_are_typed_as_it_takes_them():
    described = schema("model-config")["properties"]
    for section, options in [("handler", HandlerOptions), ("system", SystemOptions)]:
        known = described[section]["properties"]
        for field in dataclasses.fields(options):
            for example in known[field.name].get("examples", ()):
                assert field.metadata["fits"](example), field.name
            if field.default is not None:
                default = known[field.name].get("default", field.default)
                assert default == field.default, field.name
    assert {field.name for field in dataclasses.fields(SystemOptions)} == set(
        described["system"]["properties"]
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "model-config"])
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
    assert schema("report")["properties"]["version"]["pattern"] == version
    assert schema("report")["properties"]["model"]["pattern"] == name
    models = schema("sync")["properties"]["models"]
    assert models["propertyNames"]["pattern"] == name
    wanted = f"^({name[1:-1]}|{version[1:-1]})$"
    model = models["additionalProperties"]
    assert model["pattern"] == wanted
    assert model["properties"]["default"]["pattern"] == wanted
    assert model["properties"]["also"]["items"]["pattern"] == wanted
    channels = schema("channels")["properties"]["channels"]
    assert channels["propertyNames"]["allOf"][0]["pattern"] == name
    assert channels["additionalProperties"]["pattern"] == version
    pointer = schema("channel-pointer")["properties"]
    assert pointer["channel"]["pattern"] == name
    assert pointer["models"]["propertyNames"]["pattern"] == name
    assert pointer["models"]["additionalProperties"]["pattern"] == version


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
    ("path", "name"),
    [
        pytest.param(path, name, id=path.relative_to(ROOT).as_posix())
        for path, name in REGISTRY
    ],
)
def test_an_editor_finds_the_schema_of_a_document_of_the_registry(path, name):
    first, _, _ = path.read_text(encoding="utf-8").partition("\n")

    known, _, named = first.partition("$schema=")
    assert known == "# yaml-language-server: "
    assert (path.parent / named).resolve() == bundled.schemas() / f"{name}.schema.json"


@pytest.mark.parametrize(
    "path", VALID_DOCUMENTS, ids=lambda path: path.relative_to(VALID).as_posix()
)
def test_every_kind_of_document_that_people_have_is_accepted(path):
    text, name = path.read_text(encoding="utf-8"), path.parent.name

    assert errors(name, yaml.safe_load(text)) == []
    document, findings = documents.load(text, schema=name, path="x", shown_as="x")
    assert findings == []
    assert document.data == yaml.safe_load(text)


def test_there_is_a_valid_model_config_with_every_key():
    used = set()
    for path in VALID.glob("model-config/*.yaml"):
        used |= yaml.safe_load(path.read_text(encoding="utf-8")).keys()

    assert used == set(schema("model-config")["properties"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("model-config", GUIDE, id="the guide's model config"),
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
    member["segments"] = [{"runs": [[0, 1]], "blake3": "ab" * 32}]
    release = {
        "schema": 1,
        "name": "tiny",
        "version": "1.0",
        "archive": {
            "key": "k",
            "size": 1,
            "sha256": "ab" * 32,
            "framing_blake3": "ab" * 32,
        },
        "members": [{**member, "path": "fine/a.py"}, member],
        "inputs_digest": "ab" * 32,
        "git_commit": None,
        "toolchain": {},
        "resources": {},
        "tested": [],
    }

    found = documents.violations(release, schema="release")

    places = {where for code, where, *_ in found if code is Code.SHAPE}
    assert places == {"members[1].path"}
