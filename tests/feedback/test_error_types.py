"""Error types and the part of the program an error is about."""

from __future__ import annotations

import pytest

from falcon.feedback import ERROR_TYPES, error_line, error_type, span_class
from falcon.feedback.error_types import error_span
from falcon.sandbox.verdict import CaseResult, ErrorInfo, Outcome, Verdict


def ended(outcome: Outcome, kind: str = "", line: int = 0, message: str = "m") -> Verdict:
    error = ErrorInfo(type=kind, line=line, message=message) if kind else None
    return Verdict(outcome=outcome, error=error)


@pytest.mark.parametrize(
    ("outcome", "exception", "expected"),
    [
        (Outcome.SYNTAX_ERROR, "SyntaxError", "syntax"),
        (Outcome.SYNTAX_ERROR, "IndentationError", "indentation"),
        (Outcome.SYNTAX_ERROR, "TabError", "indentation"),
        (Outcome.SYNTAX_ERROR, "ValueError", "syntax"),
        (Outcome.SYNTAX_ERROR, "", "syntax"),
        (Outcome.RUNTIME_ERROR, "NameError", "name"),
        (Outcome.RUNTIME_ERROR, "UnboundLocalError", "name"),
        (Outcome.RUNTIME_ERROR, "TypeError", "type"),
        (Outcome.RUNTIME_ERROR, "IndexError", "index"),
        (Outcome.RUNTIME_ERROR, "KeyError", "key"),
        (Outcome.RUNTIME_ERROR, "ValueError", "value"),
        (Outcome.RUNTIME_ERROR, "UnicodeDecodeError", "value"),
        (Outcome.RUNTIME_ERROR, "json.decoder.JSONDecodeError", "value"),
        (Outcome.RUNTIME_ERROR, "AttributeError", "attribute"),
        (Outcome.RUNTIME_ERROR, "ZeroDivisionError", "zero-division"),
        (Outcome.RUNTIME_ERROR, "ModuleNotFoundError", "import"),
        (Outcome.RUNTIME_ERROR, "EOFError", "eof"),
        (Outcome.RUNTIME_ERROR, "RecursionError", "recursion"),
        (Outcome.RUNTIME_ERROR, "MemoryError", "memory"),
        (Outcome.RUNTIME_ERROR, "AssertionError", "assertion"),
        (Outcome.RUNTIME_ERROR, "StopIteration", "other-runtime"),
        (Outcome.RUNTIME_ERROR, "MyError", "other-runtime"),
        (Outcome.RUNTIME_ERROR, "print", "other-runtime"),
        (Outcome.RUNTIME_ERROR, "", "other-runtime"),
        (Outcome.TIMEOUT, "", "timeout"),
        (Outcome.MEMORY, "", "memory"),
        (Outcome.SIGNAL, "", "other-runtime"),
        (Outcome.PREMATURE_EXIT, "", "other-runtime"),
        (Outcome.OUTPUT_LIMIT, "", "other-runtime"),
        (Outcome.WRONG_ANSWER, "", "wrong-answer"),
        (Outcome.UNSERIALISABLE, "", "wrong-answer"),
        (Outcome.PROTOCOL_VIOLATION, "", "wrong-answer"),
        (Outcome.PASS, "", ""),
        (Outcome.SANDBOX_ERROR, "OSError", ""),
    ],
)
def test_every_ending_has_its_error_type(outcome: Outcome, exception: str, expected: str) -> None:
    assert error_type(ended(outcome, exception)) == expected
    assert expected == "" or expected in ERROR_TYPES


def test_every_outcome_is_classified() -> None:
    for outcome in Outcome:
        kind = error_type(ended(outcome))
        assert (kind == "") == (outcome in (Outcome.PASS, Outcome.SANDBOX_ERROR))


def test_error_is_taken_from_the_case_that_decided() -> None:
    cases = (
        CaseResult(outcome=Outcome.WRONG_ANSWER, error=ErrorInfo(type="X", line=9)),
        CaseResult(outcome=Outcome.RUNTIME_ERROR, error=ErrorInfo(type="KeyError", line=2)),
    )
    verdict = Verdict(outcome=Outcome.RUNTIME_ERROR, cases=cases)
    assert error_type(verdict) == "key"
    assert error_line(verdict, "a\nb[0]\n") == 2


THREE = "def f(x):\n    y = x[9]\n    return y"


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (ended(Outcome.PASS), "ignore"),
        (ended(Outcome.WRONG_ANSWER), "ignore"),
        (ended(Outcome.SANDBOX_ERROR, "OSError", 1), "ignore"),
        (ended(Outcome.RUNTIME_ERROR, "IndexError", 2), "line"),
        (ended(Outcome.RUNTIME_ERROR, "IndexError", 0), "ignore"),
        (ended(Outcome.RUNTIME_ERROR, "IndexError", 40), "ignore"),
        (ended(Outcome.RUNTIME_ERROR, "RuntimeError", 2), "ignore"),
        (ended(Outcome.RUNTIME_ERROR, "RecursionError", 2), "whole"),
        (ended(Outcome.RUNTIME_ERROR, "MemoryError", 2), "line"),
        (ended(Outcome.MEMORY), "whole"),
        (ended(Outcome.TIMEOUT), "whole"),
        (ended(Outcome.SIGNAL), "ignore"),
        (ended(Outcome.PREMATURE_EXIT, "SystemExit", 2), "ignore"),
        (ended(Outcome.OUTPUT_LIMIT), "ignore"),
        (ended(Outcome.SYNTAX_ERROR, "SyntaxError", 2, "invalid syntax"), "line"),
        (ended(Outcome.SYNTAX_ERROR, "SyntaxError", 3, "invalid syntax"), "whole"),
        (ended(Outcome.SYNTAX_ERROR, "SyntaxError", 3, "'(' was never closed"), "whole"),
        (ended(Outcome.SYNTAX_ERROR, "SyntaxError", 3, "'return' outside function"), "line"),
        (ended(Outcome.SYNTAX_ERROR, "IndentationError", 3, "unexpected indent"), "line"),
        (
            ended(Outcome.SYNTAX_ERROR, "IndentationError", 2, "unindent does not match any outer"),
            "ignore",
        ),
        (
            ended(Outcome.SYNTAX_ERROR, "TabError", 2, "inconsistent use of tabs and spaces"),
            "ignore",
        ),
        (
            ended(
                Outcome.SYNTAX_ERROR, "SyntaxError", 2, "unterminated triple-quoted string literal"
            ),
            "ignore",
        ),
        (ended(Outcome.SYNTAX_ERROR, "SyntaxError", 1, "duplicate argument 'x'"), "ignore"),
    ],
)
def test_span_class_follows_the_table(verdict: Verdict, expected: str) -> None:
    assert span_class(verdict, THREE) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("if 1:\n\tx = 1\n        y = 2\n", "ignore"),
        ("if 1:\n        x = 1\n    y = 2\n", "ignore"),
        ("x = 1\ny = '''abc\n", "ignore"),
        ("def f(a, a):\n    return a\n", "ignore"),
        ("def f():\n    from math import *\n", "ignore"),
        ("x = 1\nprint(x", "whole"),
        ("x = 1\ny = x +", "whole"),
        ("x = 1\ny = 'abc", "whole"),
        ("x = 1\nif x", "whole"),
        ("x = 1\ndef f(x):\n", "whole"),
        ("try:\n    x = 1\n", "whole"),
        ("print(x\ny = 1\nz = 2\n", "line"),
        ("x = 1 2\ny = 1\n", "line"),
        ("x = 'abc\ny = 1\n", "line"),
        ("if x\n    y = 1\nz = 2\n", "line"),
        ("def f(x):\nreturn x\n", "line"),
        ("x = 1\n  y = 2\n", "line"),
        ("x = 1\nreturn x\n", "line"),
        ("x = 1\nbreak\n", "line"),
        ("def f(x):\n    nonlocal x\n", "line"),
        ("def f():\n    nonlocal y\n    y = 1\n", "line"),
        ("print 'x'\ny = 1\n", "line"),
        ("x = 1 = 2 = y()\n\n", "line"),
    ],
)
def test_the_table_holds_for_what_the_compiler_says(program: str, expected: str) -> None:
    with pytest.raises(SyntaxError) as caught:
        compile(program, "<program>", "exec")
    fault = caught.value
    kind = type(fault).__name__
    assert (
        span_class(ended(Outcome.SYNTAX_ERROR, kind, fault.lineno or 0, fault.msg), program)
        == expected
    )


def test_failed_import_without_a_line_is_put_where_it_is_named() -> None:
    program = "x = 1\r\nfrom math import nothere\r\nprint(nothere)"
    verdict = ended(
        Outcome.RUNTIME_ERROR,
        "ImportError",
        0,
        "cannot import name 'nothere' from 'math' (unknown location)",
    )
    assert error_line(verdict, program) == 2
    assert span_class(verdict, program) == "line"
    absent = ended(Outcome.RUNTIME_ERROR, "ModuleNotFoundError", 0, "No module named 'zzz'")
    assert error_line(absent, program) == 0
    assert span_class(absent, program) == "ignore"


@pytest.mark.parametrize(
    "call",
    [
        "f(1)",
        "f(1, 2, 3)",
        "f()",
        "f(1, 2, c=3)",
        "f(1, 2, a=3)",
        "g(1)",
        "f(a=1, b=2)",
        "A().m(1)",
    ],
)
def test_a_call_by_the_tests_that_does_not_fit_is_put_at_the_definition(call: str) -> None:
    program = (
        "def f(x):\n    return x\n\ndef f(a, /, b):\n    return a\n"
        "class A:\n    def m(self): ...\ndef g(*, k): ...\n"
    )
    names: dict[str, object] = {}
    exec(program, names)
    with pytest.raises(TypeError) as caught:
        eval(call, names)
    verdict = ended(Outcome.RUNTIME_ERROR, "TypeError", 0, str(caught.value))
    line = {"f": 4, "A": 7, "g": 8}[call[0]]
    assert error_line(verdict, program) == line
    assert error_span(verdict, program)[1] == f"line {line}"
    assert error_line(verdict, program, "first_occurrence") == 0
    assert error_span(verdict, program, "first_occurrence")[0] is None


def test_a_type_error_about_another_function_has_no_place() -> None:
    builtin_message = "sorted() takes 1 positional argument but 2 were given"
    for message in (
        builtin_message,
        "f() argument must be a string",
        "unsupported operand type(s) for +",
    ):
        verdict = ended(Outcome.RUNTIME_ERROR, "TypeError", 0, message)
        assert error_line(verdict, "def f(x):\n    return x\n") == 0


def test_error_on_a_blank_line_has_no_place() -> None:
    verdict = ended(Outcome.RUNTIME_ERROR, "KeyError", 2)
    assert span_class(verdict, "a = 1\n   \nb = 2") == "ignore"


LINES = "Index Type Value Name UnboundLocal Key EOF ZeroDivision Attribute Assertion OS Overflow"


@pytest.mark.parametrize("name", LINES.split())
def test_other_exceptions_are_about_their_line(name: str) -> None:
    assert span_class(ended(Outcome.RUNTIME_ERROR, f"{name}Error", 2), THREE) == "line"


@pytest.mark.parametrize(
    "message",
    [
        "unexpected EOF while parsing",
        "invalid syntax",
        "EOL while scanning string literal",
        "unterminated string literal (detected at line 3)",
        "'(' was never closed",
        "expected ':'",
    ],
)
def test_a_text_cut_short_is_whole_on_the_last_line_alone(message: str) -> None:
    at = {n: ended(Outcome.SYNTAX_ERROR, "SyntaxError", n, message) for n in (1, 2, 3)}
    assert [span_class(at[n], THREE) for n in (1, 2, 3)] == ["line", "line", "whole"]
    assert span_class(at[3], THREE + "\n\n  \n") == "whole"


@pytest.mark.parametrize(
    "message",
    [
        "name 'x' is parameter and nonlocal",
        "no binding for nonlocal 'x' found",
        "unmatched ')'",
        "cannot assign to literal",
    ],
)
def test_other_syntax_errors_are_about_their_line_even_the_last(message: str) -> None:
    for line in (1, 2, 3):
        error = ended(Outcome.SYNTAX_ERROR, "SyntaxError", line, message)
        assert span_class(error, THREE) == "line"


@pytest.mark.parametrize(
    "message",
    [
        "EOF while scanning triple-quoted string literal",
        "unterminated triple-quoted string literal (detected at line 3)",
        "duplicate argument 'x' in function definition",
        "import * only allowed at module level",
        "unindent does not match any outer indentation level",
        "inconsistent use of tabs and spaces in indentation",
    ],
)
def test_syntax_errors_without_a_place(message: str) -> None:
    for line in (1, 2, 3):
        error = ended(Outcome.SYNTAX_ERROR, "SyntaxError", line, message)
        assert span_class(error, THREE) == "ignore"
