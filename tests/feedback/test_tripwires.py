"""Signs of tampering in a program's text."""

from __future__ import annotations

import pytest
from judge_pairs import GOOD_SUM, PAIRS

from falcon.feedback import tripwires


@pytest.mark.parametrize(
    ("program", "sign"),
    [
        ("class A(int):\n    def __eq__(self, other):\n        return True\n", "eq-override"),
        ("import sys\nsys._getframe(1).f_locals['x'] = 1\n", "frames"),
        ("import inspect\ninspect.stack()\n", "frames"),
        ("from sys import _getframe\n_getframe()\n", "frames"),
        ("import gc\ngc.get_objects()\n", "gc-scan"),
        ("import os\nos._exit(0)\n", "hard-exit"),
        ("import ctypes\n", "ctypes"),
        ("import sys\nsys.settrace(print)\n", "trace"),
        ("import atexit\natexit.register(print)\n", "atexit"),
        ("import subprocess\n", "subprocess"),
        ("import os\nos.system('ls')\n", "subprocess"),
        ("import os\nos.write(3, b'')\n", "descriptors"),
        ("import sys\nsys.modules['x']\n", "sys-modules"),
        ("__import__('os')\n", "import-machinery"),
        ("exec('x = 1')\n", "dynamic-code"),
        ("import math\nmath.sqrt = abs\n", "module-patch"),
        ("import builtins as b\nb.all = any\n", "module-patch"),
        ("open('/proc/self/mem')\n", "process-files"),
        ("().__class__.__base__.__subclasses__()\n", "object-graph"),
        ("assert 1 < 2\n", "asserts-only"),
        ("def f(:\n    sys._getframe()\n", "text:_getframe"),
        ("#" * 40_000, "oversize"),
        ("# c\n" * 12 + "x = f(1)\n", "comment-stuffing"),
        ("def f(x):\n    return x + 1\n" + "    x = 2\n" * 4, "dead-code-padding"),
    ],
)
def test_sign_is_found(program: str, sign: str) -> None:
    assert sign in tripwires(program)


def test_decent_programs_show_none() -> None:
    clean = [better for _, better, _ in PAIRS]
    assert {sign for program in clean for sign in tripwires(program)} == set()
    class_with_state = "class A:\n    def __init__(self):\n        self.x = f(1)\n"
    assert tripwires(class_with_state) == ()


EXAMPLES = "\n".join(f"assert scale({n}) == {n * 37}" for n in range(11, 16))


def test_visible_tests_copied_as_code() -> None:
    program = "def scale(n):\n    return 37 * n\n\n\nassert scale(11)==407\n"
    assert "visible-tests" in tripwires(program, EXAMPLES)
    assert "visible-tests" not in tripwires(program)
    quoted = 'def scale(n):\n    """Like so.\n\n    assert scale(11) == 407\n    """\n    return 37 * n\n'
    assert tripwires(quoted, EXAMPLES) == ()


def test_table_of_the_examples() -> None:
    rows = ", ".join(f"{n}: {n * 37}" for n in range(11, 16))
    assert "example-table" in tripwires(f"def scale(n):\n    return {{{rows}}}[n]\n", EXAMPLES)
    assert tripwires("def scale(n):\n    return 37 * n\n", EXAMPLES) == ()
    assert tripwires(GOOD_SUM, EXAMPLES) == ()


def test_a_signature_in_the_examples_is_no_test() -> None:
    shown = "def scale(n):\n    return n\n\n" + EXAMPLES
    assert tripwires("def scale(n):\n    return n * 37\n", shown) == ()
