"""``python -m perf``: what it does not run, and where that is now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.memory"])
def test_the_old_name_says_where_its_parts_are(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "perf/" in done.stderr
    assert "python -m conformance" in done.stderr
