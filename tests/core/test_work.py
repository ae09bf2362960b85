"""What follows from a change for a pipeline."""

import pytest

from model_servers.core.work import MAX_SHARDS, Work, changed_work, hostile

NOW, BEFORE = ["cat", "dog", "new"], ["cat", "dog", "old"]


@pytest.mark.parametrize(
    ("paths", "work"),
    [
        pytest.param([], Work(models=()), id="nothing"),
        pytest.param(
            ["registry/dog/README.md", "registry/dog/a/b.py"],
            Work(models=("dog",)),
            id="one model, once",
        ),
        pytest.param(
            ["registry/old/model.yaml"],
            Work(models=(), deleted=("old",)),
            id="a deleted model is nothing to build",
        ),
        pytest.param(
            ["docs/x.md", "registry/new/model.yaml"],
            Work(models=("new",), is_tool_changed=True),
            id="a document changes no model",
        ),
        pytest.param(
            ["handler/base_handler.py"],
            Work(models=("cat", "dog", "new"), is_tool_changed=True),
            id="the shared handler is in every model",
        ),
        pytest.param(
            ["constraints.txt"],
            Work(models=("cat", "dog", "new"), is_tool_changed=True),
            id="the environment decides about every verdict",
        ),
        pytest.param(
            ["registry/README.md", "registry2/cat/x"],
            Work(models=(), is_tool_changed=True),
            id="a file beside the models is none of them",
        ),
    ],
)
def test_a_change_concerns(paths, work):
    assert changed_work(paths, registry="registry", now=NOW, before=BEFORE) == work


def test_models_are_shared_out_evenly_and_none_is_lost():
    names = tuple(f"model_{n}" for n in range(300))

    shards = Work(models=names).shards()

    assert len(shards) == MAX_SHARDS
    assert {len(shard.split()) for shard in shards} == {15}
    assert sorted(" ".join(shards).split()) == sorted(names)


def test_no_model_makes_no_shard():
    assert list(Work(models=()).outputs()) == [
        "any=false",
        "tool=false",
        "models=",
        "deleted=",
        "shards=[]",
    ]


@pytest.mark.parametrize(
    "name",
    ["$(touch x)", "a b", "a;b", '"];x', "a\nany=false", "-rf", "Cat", "token_x", "ä"],
)
def test_a_name_that_could_say_something_to_a_shell_is_refused(name):
    assert hostile(Work(models=("cat", name)))
    assert hostile(Work(models=(), deleted=(name,)))
    assert "\n" not in hostile(Work(models=(name,)))[0]


def test_good_names_are_not():
    assert hostile(Work(models=("cat", "my_network"), deleted=("dog-2",))) == []
