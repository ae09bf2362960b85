"""The tree of modules that a checkpoint's names tell, with its layers recognised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from model_servers.core.checkpoint import Tensor
from model_servers.core.scaffold.layers import Layer, recognise

Path: TypeAlias = tuple[str, ...]
"""The parts of a module's name, such as ``("encoder", "0", "conv")``."""

_DEEPEST = 40
_CANNOT_BE_MADE = ("q", "float4", "bits")
"""Beginnings of dtypes in which torch makes no tensor of zeros."""

_MODULE_HAS = """
T_destination _apply _backward_hooks _backward_pre_hooks _buffers _call_impl
_compiled_call_impl _forward_hooks _forward_hooks_always_called
_forward_hooks_with_kwargs _forward_pre_hooks _forward_pre_hooks_with_kwargs
_get_backward_hooks _get_backward_pre_hooks _get_name _is_full_backward_hook
_load_from_state_dict _load_state_dict_post_hooks _load_state_dict_pre_hooks
_maybe_warn_non_full_backward_hook _modules _named_members
_non_persistent_buffers_set _parameters _register_load_state_dict_pre_hook
_register_state_dict_hook _replicate_for_data_parallel _save_to_state_dict
_slow_forward _state_dict_hooks _state_dict_pre_hooks _version
_wrapped_call_impl add_module apply bfloat16 buffers call_super_init children
compile cpu cuda double dump_patches eval extra_repr float forward get_buffer
get_extra_state get_parameter get_submodule half ipu load_state_dict modules
mtia named_buffers named_children named_modules named_parameters parameters
register_backward_hook register_buffer register_forward_hook
register_forward_pre_hook register_full_backward_hook
register_full_backward_pre_hook register_load_state_dict_post_hook
register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
set_extra_state set_submodule share_memory state_dict to to_empty train training
type xpu zero_grad
"""

TAKEN = frozenset(_MODULE_HAS.split())
"""What every ``torch.nn.Module`` has, so that no parameter of it can be called so."""


@dataclass(frozen=True)
class Raw:
    """A parameter or buffer that belongs to no layer."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_parameter(self) -> bool:
        """Only floating-point and complex tensors are trained."""
        return "float" in self.dtype or "complex" in self.dtype


@dataclass(frozen=True)
class Group:
    """A module that is no layer: its modules and its own tensors, in order.

    Groups of the same structure are equal, whatever they are called.
    """

    children: tuple[tuple[str, Node], ...]
    tensors: tuple[tuple[str, Raw], ...] = ()

    @property
    def is_list(self) -> bool:
        """Whether its modules are numbered, with few numbers left out."""
        names = [name for name, _ in self.children]
        if self.tensors or not names or not all(map(is_index, names)):
            return False
        return max(map(int, names)) < 4 * len(names) + 8

    @property
    def has_gaps(self) -> bool:
        """Whether it is a list in which numbers are left out."""
        return self.is_list and int(self.children[-1][0]) >= len(self.children)


Node: TypeAlias = Layer | Group


def tree_of(tensors: Iterable[Tensor]) -> Node:
    """Build the tree of modules whose state_dict has these tensors.

    Raises:
        ValueError: no ``torch.nn.Module`` has such a state_dict.
    """
    root: dict[str, _Entry] = {}
    for tensor in tensors:
        _insert(root, tensor)
    if not root:
        raise ValueError("it holds no tensor")
    return _node("", root)


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Layer | Raw]]:
    """Yield the layers and the tensors without one, in the order of the file."""
    if not isinstance(node, Group):
        yield path, node
        return
    for name, raw in node.tensors:
        yield (*path, name), raw
    for name, child in node.children:
        yield from leaves(child, (*path, name))


def with_layers(node: Node, layers: Mapping[Path, Layer], path: Path = ()) -> Node:
    """Give the tree with other *layers* at their paths."""
    if not isinstance(node, Group):
        return layers.get(path, node)
    children = tuple(
        (name, with_layers(child, layers, (*path, name)))
        for name, child in node.children
    )
    return Group(children, node.tensors)


_Entry: TypeAlias = "Tensor | dict[str, _Entry]"


def _insert(root: dict[str, _Entry], tensor: Tensor) -> None:
    *owners, own = tensor.name.split(".")
    shown = repr(tensor.name[:200])
    if not all([*owners, own]) or not tensor.name.isprintable():
        raise ValueError(f"{shown} is no name of a parameter")
    if own in TAKEN or (own.startswith("__") and own.endswith("__")):
        raise ValueError(f"no parameter can be called {shown}: modules have a {own!r}")
    if len(owners) > _DEEPEST:
        raise ValueError(f"{shown} is nested {len(owners)} deep; expected {_DEEPEST}")
    if tensor.dtype.startswith(_CANNOT_BE_MADE):
        raise ValueError(f"{shown} is {tensor.dtype}, which a module cannot start with")
    place = root
    for owner in owners:
        inner = place.setdefault(owner, {})
        if isinstance(inner, Tensor):
            raise ValueError(  # noqa: TRY004 - it is the checkpoint that is wrong
                f"{shown} would be part of a tensor, {owner!r}"
            )
        place = inner
    if own in place:
        raise ValueError(f"{shown} is there twice, or also the name of a module")
    place[own] = tensor


def _node(name: str, entries: Mapping[str, _Entry]) -> Node:
    own = {key: part for key, part in entries.items() if isinstance(part, Tensor)}
    modules = {
        key: part for key, part in entries.items() if not isinstance(part, Tensor)
    }
    layer = None if modules else recognise(name, own)
    if layer is not None:
        return layer
    if all(map(is_index, modules)):  # a file may have 10 before 2
        modules = dict(sorted(modules.items(), key=lambda item: int(item[0])))
    return Group(
        tuple((key, _node(key, part)) for key, part in modules.items()),
        tuple((key, Raw(part.shape, part.dtype)) for key, part in own.items()),
    )


def is_index(name: str) -> bool:
    """Say whether it is the name of a module in a list."""
    return name.isdecimal() and name.isascii() and name == str(int(name[:9]))
