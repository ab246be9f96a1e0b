"""A reference and its tests by plain ``exec``: a script for a process of its own, unconfined.

Standard input holds a pickle of the program and of its suite as a dict. Values are compared by
``==`` (list and tuple alike), text by its tokens. It ends in an uncaught exception, or writes
:data:`DONE`. Nothing of FALCON is imported.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import types
from typing import Any

DONE = b"\nall tests ran\n"


def _space(*sources: str) -> dict[str, Any]:
    """The names of a module that the sources make, one after the other."""
    module = types.ModuleType("reference")
    sys.modules[module.__name__] = module  # where dataclasses look for the names of a class
    for source in filter(None, sources):
        exec(compile(source, "reference.py", "exec"), module.__dict__)
    return module.__dict__


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _same(got: Any, expected: Any) -> bool:
    return bool(_plain(got) == _plain(expected)) or repr(got) == repr(expected)  # nan


def _code(program: str, suite: dict[str, Any]) -> None:
    space = _space(suite["prelude"], program, suite["setup"], suite["check"])
    if suite["check"]:
        space["check"](eval(suite["entry_point"], space))
    for each in suite["asserts"]:
        exec(each, space)


def _function(space: dict[str, Any], entry_point: str) -> Any:
    if entry_point not in space and "Solution" in space and "(" not in entry_point:
        return getattr(space["Solution"](), entry_point)  # by the rules of APPS
    return eval(entry_point, space)


def _calls(program: str, suite: dict[str, Any]) -> None:
    function = _function(_space(suite["prelude"], program), suite["entry_point"])
    right = None
    if suite["reference"]:
        right = _function(_space(suite["reference"]), suite["entry_point"])
    for call in suite["calls"]:
        expected = right(*copy.deepcopy(call["args"])) if right else call["expected"]
        got = function(*copy.deepcopy(call["args"]))
        # APPS wraps some values into a list of one.
        wrapped = suite["rule"].startswith("apps") and _same([got], expected)
        assert _same(got, expected) or wrapped, f"{got!r:.80} is not {expected!r:.80}"


def _runs(program: str, suite: dict[str, Any]) -> None:
    command = [sys.executable, "-c", suite["prelude"] + program]
    for run in suite["runs"]:
        done = subprocess.run(
            command, input=run["stdin"], capture_output=True, text=True, check=False
        )
        got, expected = done.stdout.split(), run["expected"].split()
        error = done.stderr.splitlines()[-1:]
        assert got == expected, f"{got!r:.80} is not {expected!r:.80} {error}"


def main() -> None:
    """Run the tests of the job on standard input."""
    program, suite = pickle.load(sys.stdin.buffer)
    {"code": _code, "call": _calls, "stdin": _runs}[suite["kind"]](program, suite)
    sys.stdout.flush()
    sys.stdout.buffer.write(DONE)


if __name__ == "__main__":
    main()
