"""Follows a pickle as torch's weights_only unpickler does, and builds only facts.

Nothing is imported, called or made. Opcodes that torch refuses are followed too, so
that whatever the pickle names is known.

Source: torch/_weights_only_unpickler.py, torch 2.13, and Python's pickletools.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from model_servers.adapters.weights_values import (
    Global,
    Map,
    NoPickleError,
    Storage,
    TensorFacts,
    Thing,
    is_key,
    is_size,
    made,
    path_of,
)
from model_servers.core.checkpoint import SAFE_GLOBALS, STORAGES, VALUES

MAX_PICKLE_BYTES = 16 * 2**20
_MAX_STEPS = 1_000_000
"""In one file: some 30,000 tensors, followed within a second."""

_MAX_NAME_CHARACTERS = 1000
"""Of a global: one that is long, and named a million times, takes for ever."""

_MAX_GLOBALS = 1000

_TORCH_READS = frozenset(
    {
        *("APPEND", "APPENDS", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2"),
        *("BINPERSID", "BINPUT", "BINUNICODE", "BUILD", "EMPTY_DICT", "EMPTY_LIST"),
        *("EMPTY_SET", "EMPTY_TUPLE", "GLOBAL", "LONG1", "LONG_BINGET", "LONG_BINPUT"),
        *("MARK", "NEWFALSE", "NEWOBJ", "NEWTRUE", "NONE", "PROTO", "REDUCE"),
        *("SETITEM", "SETITEMS", "SHORT_BINSTRING", "STOP"),
        *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    }
)


class Stream(Protocol):
    """What a pickle is read from."""

    def read(self, size: int, /) -> bytes:
        """Read at most *size* bytes."""

    def readline(self, size: int, /) -> bytes:
        """Read to the end of the line, at most *size* bytes."""


@dataclass
class BoundedStream:
    """Gives at most so many bytes of another; a pickle can ask for gigabytes."""

    stream: Stream
    left_bytes: int = MAX_PICKLE_BYTES

    def read(self, size: int) -> bytes:
        """Read exactly *size* bytes, or what there is."""
        return self._counted(self.stream.read(size) if self._has(size) else b"")

    def readline(self) -> bytes:
        """Read to the end of the line."""
        return self._counted(self.stream.readline(self.left_bytes))

    def _has(self, size: int) -> bool:
        if not 0 <= size <= self.left_bytes:
            raise NoPickleError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
        return True

    def _counted(self, data: bytes) -> bytes:
        self.left_bytes -= len(data)
        return data


@dataclass
class Followed:
    """What following a pickle has told."""

    value: Any = None
    globals: dict[str, None] = field(default_factory=dict)
    storages: dict[Any, Storage] = field(default_factory=dict)
    refusal: str | None = None
    """Why torch does not read it with ``weights_only=True``."""

    steps: int = 0
    """How much work it was."""

    def refuse(self, reason: str) -> None:
        """Note the first reason."""
        self.refusal = self.refusal or reason

    def spend(self, steps: int) -> None:
        """Count work; NoPickleError if it is too much."""
        self.steps += steps
        if self.steps > _MAX_STEPS:
            raise NoPickleError(f"its pickle has more than {_MAX_STEPS} steps")


def follow(stream: BoundedStream, followed: Followed | None = None) -> Followed:
    """Follow one pickle to its end.

    Args:
        stream: where it starts.
        followed: gets what the pickle tells, also if it ends in an error.

    Raises:
        NoPickleError: it is broken, or goes on for too long.
    """
    followed = followed if followed is not None else Followed()
    machine = _Machine(followed)
    try:
        # Without a method `tell` it is never asked where it is, which takes time.
        steps = pickletools.genops(stream)  # type: ignore[arg-type]  # reads only
        for opcode, argument, _ in steps:
            followed.spend(1)
            machine.step(opcode.name, argument)
        followed.value = machine.stack.pop()
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise NoPickleError("its pickle is damaged") from error
    return followed


class _Machine:
    """A stack, a memo, and what each opcode does to them."""

    def __init__(self, followed: Followed) -> None:
        self.stack: list[Any] = []
        self._followed = followed
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name not in _TORCH_READS:
            self._followed.refuse(f"its pickle has the opcode {name}")
        if argument is not None and name not in _WITH_ARGUMENT:
            self.stack.append(argument)
            return
        step = _STEPS.get(name)
        if step is None:
            raise NoPickleError(f"its pickle has the opcode {name}")
        step(self, argument)

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _refuse(self, reason: str) -> None:
        self._followed.refuse(reason)

    def _mark(self, _argument: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def _pop(self, _argument: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def _tuple(self, count: int | None) -> None:
        items = self._since_mark() if count is None else self._top(count)
        self._push(tuple(items))

    def _top(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def _put(self, place: int | None) -> None:
        self._memo[len(self._memo) if place is None else place] = self.stack[-1]

    def _append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        else:
            self._refuse("its pickle appends to what is no list")

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise NoPickleError("its pickle has a key without a value")
        if not isinstance(target, Map):
            self._refuse("its pickle sets items of what is no dict")
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, list | Map):
                self._refuse("its pickle has a key that cannot be one")
            target.put(key, value)

    def _global(self, argument: str) -> None:
        if len(argument) > _MAX_NAME_CHARACTERS:
            raise NoPickleError("its pickle has a name without end")
        module, _, name = argument.partition(" ")
        module = "builtins" if module == "__builtin__" else module
        path = f"{module}.{name}"
        self._followed.globals[path] = None
        if len(self._followed.globals) > _MAX_GLOBALS:
            raise NoPickleError(f"its pickle names more than {_MAX_GLOBALS} globals")
        if path not in SAFE_GLOBALS:
            self._refuse(f"its pickle names {path}")
        self._push(Global(path))

    def _stack_global(self, _argument: Any) -> None:
        module, name = self._top(2)
        if not isinstance(module, str) or not isinstance(name, str):
            self._global("? ?")
        elif len(module) + len(name) > _MAX_NAME_CHARACTERS:
            raise NoPickleError("its pickle has a name without end")
        else:
            self._global(f"{module} {name}")

    def _instance(self, argument: str | None) -> None:
        self._since_mark()
        if argument is not None:
            self._global(argument)
            self.stack.pop()
        self._push(Thing(argument or "object"))

    def _extension(self, code: int) -> None:
        self._global(f"copyreg extension-{code}")

    def _persistent(self, _argument: Any) -> None:
        saved = self.stack.pop()
        if not isinstance(saved, tuple) or saved[0] not in ("storage", b"storage"):
            self._refuse("its pickle refers to something outside of it")
            self._push(Thing("reference"))
            return
        kind, key, _location, count = saved[1:5]
        dtype = STORAGES.get(path_of(kind).replace("torch.cuda.", "torch."))
        if dtype is None or not is_key(key) or not is_size(count):
            raise NoPickleError("its pickle has a storage of no known kind")
        storage = Storage(key, dtype, count)
        self._push(self._followed.storages.setdefault(key, storage))

    def _new(self, _argument: Any) -> None:
        cls, arguments = self._top(2)
        if not isinstance(cls, Global):
            self._refuse("its pickle makes an object of what it made itself")
        self._push(made(path_of(cls), arguments, self._followed.spend))

    def _new_ex(self, _argument: Any) -> None:
        cls, arguments, _named = self._top(3)
        self._push(made(path_of(cls), arguments, self._followed.spend))

    def _reduce(self, _argument: Any) -> None:
        function, arguments = self._top(2)
        path = path_of(function)
        if not isinstance(function, Global) or path in VALUES:
            self._refuse("its pickle calls what is no function")
        self._push(made(path, arguments, self._followed.spend))

    def _build(self, _argument: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Map):
            is_fit = isinstance(state, Map) and target.kind != "dict"
        else:
            is_fit = isinstance(target, Thing | TensorFacts)
        if not is_fit:
            self._refuse("its pickle gives a state to what has none")


def _nothing(_machine: _Machine, _argument: Any) -> None:
    pass


_Step = Callable[[_Machine, Any], None]

_STEPS: dict[str, _Step] = {
    "APPEND": lambda m, _: m._append(m._top(1)),
    "APPENDS": lambda m, _: m._append(m._since_mark()),
    "ADDITEMS": lambda m, _: m._since_mark().clear(),
    "BINPERSID": _Machine._persistent,
    "BUILD": _Machine._build,
    "DICT": lambda m, _: _new_dict(m),
    "DUP": lambda m, _: m._push(m.stack[-1]),
    "EMPTY_DICT": lambda m, _: m._push(Map()),
    "EMPTY_LIST": lambda m, _: m._push([]),
    "EMPTY_SET": lambda m, _: m._push(Thing("set")),
    "EMPTY_TUPLE": lambda m, _: m._push(()),
    "FRAME": _nothing,
    "FROZENSET": lambda m, _: m._push(Thing(f"frozenset of {len(m._since_mark())}")),
    "GLOBAL": _Machine._global,
    "INST": _Machine._instance,
    "LIST": lambda m, _: m._push(m._since_mark()),
    "MARK": _Machine._mark,
    "MEMOIZE": _Machine._put,
    "NEWFALSE": lambda m, _: m._push(False),  # noqa: FBT003 - a value
    "NEWOBJ": _Machine._new,
    "NEWOBJ_EX": _Machine._new_ex,
    "NEWTRUE": lambda m, _: m._push(True),  # noqa: FBT003 - a value
    "NEXT_BUFFER": lambda m, _: m._push(Thing("buffer")),
    "NONE": lambda m, _: m._push(None),
    "OBJ": _Machine._instance,
    "PERSID": lambda m, _: m._push(Thing("reference")),
    "POP": _Machine._pop,
    "POP_MARK": lambda m, _: m._since_mark().clear(),
    "PROTO": _nothing,
    "READONLY_BUFFER": _nothing,
    "REDUCE": _Machine._reduce,
    "SETITEM": lambda m, _: m._set_items(m._top(2)),
    "SETITEMS": lambda m, _: m._set_items(m._since_mark()),
    "STACK_GLOBAL": _Machine._stack_global,
    "STOP": _nothing,
    "TUPLE": lambda m, _: m._tuple(None),
    "TUPLE1": lambda m, _: m._tuple(1),
    "TUPLE2": lambda m, _: m._tuple(2),
    "TUPLE3": lambda m, _: m._tuple(3),
    **{f"EXT{size}": _Machine._extension for size in (1, 2, 4)},
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], _Machine._put),
    **dict.fromkeys(
        ["GET", "BINGET", "LONG_BINGET"], lambda m, place: m._push(m._memo[place])
    ),
}
_WITH_ARGUMENT = _STEPS.keys()


def _new_dict(machine: _Machine) -> None:
    items = machine._since_mark()
    machine._push(Map())
    machine._set_items(items)
