"""The TorchServe handler that every model of model-servers runs in.

Authors call `handler_factory` with plain functions that see one sample each.
TorchServe calls `handle`, which loads the model and then answers batches in which
one bad request never spoils its neighbours. Both are here; how they do it is in
`model_servers_handler`, from `loading` and `answering` downwards.

Only the standard library is imported at the top of these files, and torch inside
functions: TorchServe takes an ImportError in this one to mean that its own
`base_handler` was asked for (ts/model_loader.py:107, release 0.12).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_servers_handler.errors import RequestError
from model_servers_handler.functions import ModelFunctions
from model_servers_handler.loading import serve
from model_servers_handler.tensors import is_module

__all__ = ["RequestError", "handle", "handler_factory"]


def handler_factory(  # noqa: PLR0913 - the first five names are the guide's
    init_function: Callable[..., Any],
    preprocess_function: Callable[..., Any] | None = None,
    postprocess_function: Callable[..., Any] | None = None,
    install_packages: Callable[..., Any] | None = None,
    unpack_dependencies: Callable[..., Any] | None = None,
    *,
    collate_function: Callable[..., Any] | None = None,
    example_input: Any = None,
    preprocess_kwargs: Mapping[str, Any] | None = None,
    postprocess_kwargs: Mapping[str, Any] | None = None,
    collate_kwargs: Mapping[str, Any] | None = None,
    install_packages_kwargs: Mapping[str, Any] | None = None,
    unpack_dependencies_kwargs: Mapping[str, Any] | None = None,
    **init_kwargs: Any,
) -> Entry:
    """Describe a model by its author's functions.

    Args:
        init_function: makes the model: a `torch.nn.Module` without weights, or any
            callable that takes a batch. If it has a parameter `checkpoint_path`,
            it gets the checkpoint's path and the handler loads nothing itself.
        preprocess_function: turns one request's data into one sample.
        postprocess_function: turns the model's output for one sample, which has no
            batch axis, into an answer.
        install_packages: runs once per host before the model is made. What it
            installs can be imported inside the functions, not at the top of the
            author's file, which is read before.
        unpack_dependencies: runs after `install_packages`, likewise.
        collate_function: turns a list of samples into the model's batch. Without
            it, samples of one shape and dtype are stacked.
        example_input: one request's data; the worker is ready once it is answered.
        preprocess_kwargs: more arguments of `preprocess_function`, over those in
            model-config.yaml (`handler:`). The next four are the same for others.
        postprocess_kwargs: for `postprocess_function`.
        collate_kwargs: for `collate_function`.
        install_packages_kwargs: for `install_packages`.
        unpack_dependencies_kwargs: for `unpack_dependencies`.
        **init_kwargs: for `init_function`.
    """
    given = {
        "init_function": (init_function, init_kwargs),
        "preprocess_function": (preprocess_function, preprocess_kwargs),
        "postprocess_function": (postprocess_function, postprocess_kwargs),
        "collate_function": (collate_function, collate_kwargs),
        "install_packages": (install_packages, install_packages_kwargs),
        "unpack_dependencies": (unpack_dependencies, unpack_dependencies_kwargs),
    }
    for name, (function, _) in given.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} is a function, found {type(function).__name__}")
    if is_module(init_function):
        raise TypeError(
            f"init_function is a function that makes the model, found a"
            f" {type(init_function).__name__}; pass its name without ()"
        )
    return Entry(given, example_input)


class Entry(ModelFunctions):
    """What `handler_factory` gives; also works as TorchServe's entry."""

    def __call__(self, data: list[Any] | None, context: Any) -> list[bytes] | None:
        """Do what `handle` does, with these functions."""
        return serve(data, context, self)


def handle(data: list[Any] | None, context: Any) -> list[bytes] | None:
    """Load the model when *data* is None, otherwise answer the batch.

    Args:
        data: one dict of fields for each of the `B` requests.
        context: TorchServe's; the loaded model is kept on it between calls.

    Returns:
        `B` bodies, in the order of the requests.

    Raises:
        RuntimeError: the model cannot be loaded; the message is one line. TorchServe
            answers it with 500, or 507 if it has "CUDA" in it; any other exception
            would end the process without a word to the client.
    """
    return serve(data, context, None)
