"""Arguments of a call: what the program gets, and what the call makes of the test's own objects.

Both sides number the objects that a call may change, in the order in which they are written; the
program's answer says what those hold that it has changed, and the test's objects take that on.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib
from typing import Any

from ..wire import codec
from ..wire.stand_ins import Record, StandIns


class ProgramObjects(StandIns):
    """Makes objects of the program's own classes, where ``space`` has them by these names."""

    def __init__(self, space: dict[str, Any]) -> None:
        self._space = space

    def named(self, name: str, fields: tuple[str, ...], *values: Any) -> Any:
        """Of a class of these fields, else of a new one."""
        known = self._space.get(name)
        if isinstance(known, type) and getattr(known, "_fields", ()) == fields:
            return known._make(values)  # type: ignore[attr-defined]
        made: Any = collections.namedtuple(name, fields, rename=True)  # type: ignore[misc]
        return made(*values)

    def record(
        self, name: str, compared: tuple[str, ...], fields: tuple[str, ...], *values: Any
    ) -> Any:
        """As it was when it crossed: its __init__ does not run again."""
        known: Any = self._space.get(name)
        if not (isinstance(known, type) and hasattr(known, "__dataclass_fields__")):
            known = dataclasses.make_dataclass(name, fields)
        made: Any = known.__new__(known)
        for field, value in zip(fields, values, strict=True):
            object.__setattr__(made, field, value)
        return made

    def member(self, owner: str, name: str, value: Any, base: int | str | None) -> Any:
        """The member itself, else what it stands for."""
        members = getattr(self._space.get(owner), "_member_map_", {})
        return members.get(name, value if base is None else base)

    def array(self, dtype: str, shape: tuple[int, ...], *flat: Any) -> Any:
        """An array of numpy, whether the program uses it or not."""
        return numpy_array(dtype, shape, flat)


def numpy_array(dtype: str, shape: tuple[int, ...], flat: tuple[Any, ...]) -> Any:
    """An array, or a scalar where there is no dimension. Raises ImportError without numpy."""
    numpy = importlib.import_module("numpy")
    made = numpy.empty(len(flat), dtype)
    made[:] = flat
    return made.reshape(shape)[()]


def inside(value: Any, found: list[Any]) -> list[Any]:
    """``found`` and the objects that have a number in plain data, in the order of their numbers."""
    for each in value.values() if type(value) is dict else value:
        kind = type(each)
        if kind is list or kind is dict or kind is set:
            found.append(each)
        if kind is list or kind is dict or kind is tuple:
            inside(each, found)
    return found


def changes(objects: list[Any], before: list[str], live: codec.LiveText) -> str:
    """What objects hold that held something else before; empty where none does. Raises what
    :func:`codec.contents` raises."""
    pairs = zip(codec.contents(objects, live), before, strict=True)
    changed = [f"[{number},{after}]" for number, (after, old) in enumerate(pairs) if after != old]
    return f"[{','.join(changed)}]" if changed else ""


def write_back(objects: list[Any], text: bytes, build: StandIns) -> None:
    """Let the test's own objects hold what the program's hold. Raises Malformed, ValueError and
    TypeError for what no call can change."""
    changed = codec.decode(text, budget=False, build=build, objects=objects)
    for number, new in changed:
        become(objects[number], new)


def become(old: Any, new: Any) -> None:
    """Let an object hold what another one holds. Raises TypeError for objects of two types."""
    if type(new) is Record and (type(old) is Record or dataclasses.is_dataclass(old)):
        for name, value in vars(new).items():
            object.__setattr__(old, name, value)
    elif type(old) is not type(new):
        raise TypeError("an argument is of another type after the call")
    elif isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)
    elif isinstance(old, collections.deque):
        old.clear()
        old.extend(new)
    else:
        old[...] = new  # an array
