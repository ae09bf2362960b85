"""The text of ``network.py``: modules with exactly a checkpoint's names and shapes."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from model_servers.core.scaffold.chain import Step
from model_servers.core.scaffold.layers import BatchNorm, Embedding, Layer
from model_servers.core.scaffold.tree import TAKEN, Group, Node, Path, Raw, leaves

_LISTED = 200
"""So many layers are listed; a reader looks at no more."""

_FROZEN = '''\
class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics never change, and which counts no batches."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(size))
        self.register_buffer("bias", torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias
        )
'''


def network_source(
    node: Node, *, steps: tuple[Step, ...] | None, title: str, notes: Iterable[str]
) -> str:
    """Write the file.

    Args:
        node: the tree of modules.
        steps: the forward pass; None if its author must write it.
        title: the first line of the docstring.
        notes: what the checkpoint leaves open.
    """
    flat = list(leaves(node))
    classes = _Classes()
    body = classes.define(node, "Network")
    forward = _first_only(node, flat) if steps is None else _chained(node, steps)
    about = ["", *notes] if steps is not None else ["", *notes, "", *_listed(flat)]
    docstring = "\n".join([_quoted(title), *map(_quoted, about)])
    frozen = any(isinstance(one, BatchNorm) and not one.counts for _, one in flat)
    parts = [
        f'"""{docstring}\n"""\n\nimport torch\nfrom torch import nn\n',
        *([_FROZEN] if frozen else []),
        *classes.texts,
        f"{body}\n{forward}",
    ]
    text = "\n\n".join(parts)
    is_wide = any(len(line) > 88 for line in text.splitlines())
    return f"# ruff: noqa: E501\n# fmt: off\n{text}" if is_wide else text


@dataclass
class _Classes:
    """Gives each structure of modules one class, however often it occurs."""

    names: dict[Group, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def define(self, node: Node, name: str) -> str:
        """Write the class of a node, those it needs before it."""
        if not isinstance(node, Group):
            kind, arguments = node.call
            return _class(name, kind, [f"super().__init__({arguments})"])
        if node.is_list:
            kind = _list_kind(node)
            items = self._items(node, name)
            return _class(name, kind, _call("super().__init__", kind, items))
        lines = ["super().__init__()"]
        for own, raw in node.tensors:
            lines.append(_tensor(own, raw))
        for child_name, child in node.children:
            first, *rest = self._expression(child, child_name)
            lines += [f"{_attribute(child_name)} = {first}", *rest]
        return _class(name, "nn.Module", lines)

    def _expression(self, node: Node, name: str) -> list[str]:
        """Write what makes a node, in lines."""
        if not isinstance(node, Group):
            kind, arguments = node.call
            return [f"{kind}({arguments})"]
        if node.is_list:
            kind = _list_kind(node)
            return _call(kind, kind, self._items(node, name))
        if node not in self.names:
            unique = self._unique(_class_name(name))
            self.names[node] = unique
            self.texts.append(self.define(node, unique))
        return [f"{self.names[node]}()"]

    def _items(self, group: Group, name: str) -> list[str]:
        """Write the items of a list; a number left out had no tensors."""
        modules = {int(number): child for number, child in group.children}
        every = [modules.get(number) for number in range(max(modules) + 1)]
        lines: list[str] = []
        for node, run in itertools.groupby(every):
            count = len(list(run))
            item = ["nn.Identity()"] if node is None else self._expression(node, name)
            if count > 2 and len(item) == 1:
                item, count = [f"*[{item[0]} for _ in range({count})]"], 1
            lines += [*item[:-1], f"{item[-1]},"] * count
        return lines

    def _unique(self, name: str) -> str:
        taken = {*self.names.values(), "Network", "FrozenBatchNorm"}
        names = itertools.chain([name], (f"{name}{n}" for n in itertools.count(2)))
        return next(name for name in names if name not in taken)


def _class(name: str, base: str, lines: Iterable[str]) -> str:
    head = [f"class {name}({base}):", "    def __init__(self) -> None:"]
    return "\n".join([*head, *_indented(lines, 8), ""])


def _call(function: str, kind: str, items: list[str]) -> list[str]:
    is_spread = kind == "nn.Sequential"
    if len(items) == 1 and items[0].startswith("*["):
        every = items[0].rstrip(",")
        return [f"{function}({every if is_spread else every[1:]})"]
    if is_spread:
        return [f"{function}(", *_indented(items, 4), ")"]
    return [f"{function}(", "    [", *_indented(items, 8), "    ]", ")"]


def _list_kind(group: Group) -> str:
    has_groups = any(isinstance(child, Group) for _, child in group.children)
    return "nn.ModuleList" if has_groups else "nn.Sequential"


def _indented(lines: Iterable[str], columns: int) -> list[str]:
    return [f"{' ' * columns}{line}" for line in lines]


def _tensor(name: str, raw: Raw) -> str:
    shape = ", ".join(map(str, raw.shape)) or "()"
    is_plain = raw.is_parameter and "complex" not in raw.dtype
    zeros = f"torch.zeros({shape}{'' if is_plain else f', dtype=torch.{raw.dtype}'})"
    if not raw.is_parameter:
        return f"self.register_buffer({_text(name)}, {zeros})"
    if _is_plain(name):
        return f"self.{name} = nn.Parameter({zeros})"
    return f"self.register_parameter({_text(name)}, nn.Parameter({zeros}))"


def _chained(node: Node, steps: Iterable[Step]) -> str:
    lines: list[str] = []
    for step in steps:
        if step.relu:
            lines.append("x = torch.relu(x)")
        if step.pool:
            axes, size = step.pool
            lines.append(f"x = nn.functional.adaptive_avg_pool{axes}d(x, {size})")
            lines.append("x = torch.flatten(x, 1)")
        lines.append(f"x = {_place(node, step.path)}(x)")
    lines[-1] = lines[-1].replace("x = ", "return ", 1)
    return _forward(lines)


def _first_only(node: Node, flat: Iterable[tuple[Path, Layer | Raw]]) -> str:
    why = [
        "# Write this: how the layers are connected does not stand in a checkpoint.",
        "# Until then it applies the first layer and nothing else.",
    ]
    layers = ((path, layer) for path, layer in flat if not isinstance(layer, Raw))
    path, layer = next(layers, (None, None))
    if path is None:
        return _forward([*why, "return x"])
    value = "x.long()" if isinstance(layer, Embedding) else "x"
    return _forward([*why, f"return {_place(node, path)}({value})"])


def _forward(lines: Iterable[str]) -> str:
    head = "    def forward(self, x: torch.Tensor) -> torch.Tensor:"
    return "\n".join([head, *_indented(lines, 8), ""])


def _listed(flat: list[tuple[Path, Layer | Raw]]) -> Iterator[str]:
    yield "What it has, in the order of the file:"
    yield ""
    for path, one in flat[:_LISTED]:
        yield f"    {'.'.join(path) or '(itself)'}: {_described(one)}"
    if len(flat) > _LISTED:
        yield f"    and {len(flat) - _LISTED} more"


def _described(one: Layer | Raw) -> str:
    if not isinstance(one, Raw):
        kind, arguments = one.call
        return f"{kind.removeprefix('nn.')}({arguments})"
    return f"{'parameter' if one.is_parameter else 'buffer'} {list(one.shape)}"


def _place(node: Node, path: Path) -> str:
    """Write how the network itself calls the module at *path*."""
    text = "self" if path else "super().forward"
    for name in path:
        if not isinstance(node, Group):
            raise TypeError(f"{path} leads into a layer")
        if node.is_list:
            text += f"[{name}]"
        elif _is_plain(name):
            text += f".{name}"
        else:
            text += f"._modules[{_text(name)}]"
        node = dict(node.children)[name]
    return text


def _attribute(name: str) -> str:
    return f"self.{name}" if _is_plain(name) else f"self._modules[{_text(name)}]"


def _is_plain(name: str) -> bool:
    """Say whether a module's attribute can be called so, and is free."""
    if name in TAKEN or name.startswith("_") or not name.isascii():
        return False
    if not name.isidentifier():
        return False
    try:
        return isinstance(ast.parse(name, mode="eval").body, ast.Name)
    except SyntaxError:  # a keyword
        return False


def _class_name(name: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    if len(joined) > 3 and joined.endswith("s") and not joined.endswith("ss"):
        joined = joined[:-1]
    return joined if _is_plain(joined) else f"Block{joined}"


def _text(value: str) -> str:
    """Write a string literal as the formatter would."""
    return '"' + _quoted(value) + '"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
