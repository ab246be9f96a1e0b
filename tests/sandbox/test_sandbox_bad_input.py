"""Bad input to the sandbox: a verdict or a ValueError that says which; never a hang."""

from __future__ import annotations

import sys

import pytest
from cases import ADD
from limits import small
from pydantic import ValidationError

from falcon.config import SandboxSettings
from falcon.sandbox import Outcome, Program, Sandbox
from falcon.suite import CallSuite, CodeSuite, StdinSuite

RIGHT = "def add(a, b):\n    return a + b"


def test_bytes_are_no_program() -> None:
    with pytest.raises(ValueError, match="bytes, not text"):
        Program(b"x = 1", ADD)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", ["cpu_seconds", "total_cpu_seconds", "memory_mib", "output_kib"])
def test_a_limit_of_zero_is_named(limit: str) -> None:
    with pytest.raises(ValidationError, match=limit):
        SandboxSettings.model_validate({limit: 0})


@pytest.mark.parametrize("tests", ["assert (", "def check(c:", "\0", "x = " + "(" * 5000])
def test_tests_that_do_not_parse_are_our_fault_and_said(sandbox: Sandbox, tests: str) -> None:
    for suite in (
        CodeSuite(asserts=(tests,)),
        CodeSuite(check=tests, entry_point="add"),
        CodeSuite(setup=tests, asserts=("assert add(1, 2) == 3",)),
    ):
        verdict = sandbox.judge(Program(RIGHT, suite))
        assert verdict.outcome is Outcome.SANDBOX_ERROR
        assert "the tests cannot run" in verdict.detail
        assert not verdict.passed
    assert sandbox.judge(Program(RIGHT, ADD)).passed


def test_suites_without_tests_are_refused() -> None:
    for make in (
        lambda: CallSuite(entry_point="f", calls=()),
        lambda: StdinSuite(runs=()),
        lambda: CodeSuite(),
        lambda: CodeSuite(check="def check(c): pass"),
    ):
        with pytest.raises(ValidationError):
            make()


def test_without_an_interpreter_the_reason_is_in_the_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Sandbox(small(workers=1, retries=0), level="L3") as running:
        verdict = running.judge(Program(RIGHT, ADD))
    assert verdict.outcome is Outcome.SANDBOX_ERROR
    assert "/no/such/python" in verdict.detail
