"""What a pickle would do, read as text: its opcodes are followed on names, nothing is imported or called."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PickledTensors", "follow_pickle"]


@dataclass(frozen=True)
class Named:
    """A class or function that the pickle names."""

    name: str


@dataclass(frozen=True)
class Made:
    """Something that would come out of a call.

    Args:
        maker: name of what is called.
        count: number of elements, of a tensor's storage.
    """

    maker: str
    count: int | None = None


@dataclass
class PickledTensors:
    """What a pickle names and refers to.

    Args:
        names: classes and functions that it would import.
        storages: key, element type and number of elements of each tensor storage.
        oversized: elements that tensors would have beyond their storage, for each such tensor.
        problem: why it could not be followed to its end; empty when it could.
    """

    names: set[str] = field(default_factory=set)
    storages: dict[str, tuple[str, int]] = field(default_factory=dict)
    oversized: list[int] = field(default_factory=list)
    problem: str = ""


class _Mark:
    """Where a group of values begins on the stack."""


_MARK = _Mark()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": "dict", "EMPTY_LIST": "list", "EMPTY_SET": "set"}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING"),
    *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}


def follow_pickle(content: bytes) -> PickledTensors:
    """Follow a pickle as ``torch.save`` writes it (protocol 2); any other opcode ends the reading with a problem."""
    tensors = PickledTensors()
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    last = 0
    try:
        for opcode, argument, position in pickletools.genops(content):
            last = position or 0
            if not _follow(opcode.name, argument, stack, memo, tensors):
                tensors.problem = f"opcode {opcode.name} at byte {last} is none that torch.save writes"
                return tensors
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        tensors.problem = f"it is no complete pickle ({error})"
        return tensors
    if last + 1 != len(content):
        tensors.problem = f"{len(content) - last - 1} bytes follow its end"
    return tensors


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], tensors: PickledTensors) -> bool:
    """Do one step on names; False when the opcode is not known."""
    if name in ("PROTO", "STOP", "FRAME"):
        return name != "PROTO" or argument == 2
    if name in _LITERALS:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(Made(_EMPTY[name]))
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        named = Named(argument.replace(" ", "."))
        tensors.names.add(named.name)
        stack.append(named)
    else:
        return _combine(name, stack, tensors)
    return True


def _combine(name: str, stack: list[Any], tensors: PickledTensors) -> bool:
    if name in ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(_pop(stack, "123".find(name[-1]) + 1)))
    elif name == "TUPLE":
        stack.append(tuple(_pop_to_mark(stack)))
    elif name in ("SETITEMS", "APPENDS"):
        _pop_to_mark(stack)
    elif name in ("SETITEM", "APPEND"):
        _pop(stack, 2 if name == "SETITEM" else 1)
    elif name == "BINPERSID":
        stack.append(Made("storage", _storage(stack.pop(), tensors)))
    elif name in ("REDUCE", "NEWOBJ"):
        maker, arguments = _pop(stack, 2)
        _measure(arguments, tensors)
        stack.append(Made(maker.name))
    elif name == "BUILD":
        stack.pop()
    else:
        return False
    return True


def _measure(arguments: Any, tensors: PickledTensors) -> None:
    """Note a tensor that is larger than its storage, which torch would enlarge, and fill with what memory holds."""
    if not isinstance(arguments, tuple) or len(arguments) < 4 or not isinstance(arguments[0], Made):
        return
    storage, offset, size, stride = arguments[:4]
    if storage.count is None:
        return
    last = sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    needed = 0 if 0 in size else offset + last + 1
    if needed > storage.count or min((offset, *size, *stride)) < 0:
        tensors.oversized.append(needed - storage.count)


def _storage(reference: Any, tensors: PickledTensors) -> int:
    """Note a storage; returns its number of elements."""
    kind, element, key, _, count = reference
    if kind != "storage":
        raise ValueError(f"a reference to {kind!r}")
    tensors.storages[str(key)] = (element.name, int(count))
    return int(count)


def _pop(stack: list[Any], count: int) -> list[Any]:
    values = [stack.pop() for _ in range(count)]
    return values[::-1]


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    values = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    return values[::-1]
