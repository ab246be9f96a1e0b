"""``python -m perf``: what it does not run, and where that is now."""

from __future__ import annotations

import sys

import pytest

from perf.__main__ import main, names


@pytest.mark.parametrize(
    ("name", "message"),
    [("agreement", "make conformance"), ("soak", "there are: "), ("x", "memory")],
)
def test_a_name_that_is_no_comparison_is_refused(monkeypatch, capsys, name, message):
    assert name not in names()
    monkeypatch.setattr(sys, "argv", ["perf", name])
    assert main() == 2
    assert message in capsys.readouterr().err
