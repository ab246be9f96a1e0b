"""A small workspace, and the command line run in it as a user runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from falcon import env
from falcon.cli import main as cli

PARAMS = """\
policy: {max_prompt_tokens: 700, dtype: float32, lora_rank: 8}
machine: {cache: false}
sandbox: {cpu_seconds: 0.5, total_cpu_seconds: 2.0}
memory: {encoder: hash, min_similarity: 0.0}
benchmark: {max_new_tokens: 40}
"""
PROBLEM = {
    "id": "builtin/double",
    "source": "builtin",
    "split": "train",
    "difficulty": "introductory",
    "statement": "Double a number.",
    "entry_point": "double",
    "tests": {
        "kind": "call",
        "entry_point": "double",
        "calls": [{"args": [x], "expected": 2 * x} for x in (1, 2, 7)],
    },
    "solutions": ["def double(x):\n    return 2 * x\n"],
}


class Done(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Falcon = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one problem, made the working folder."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "problems.jsonl").write_text(json.dumps(PROBLEM) + "\n")
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "FALCON_"))]:
        monkeypatch.delenv(name)
    # Set here, so that what the command line sets for itself is gone after the test.
    for name, value in env.defaults(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    return tmp_path


@pytest.fixture
def falcon(here: Path, capsys: pytest.CaptureFixture[str]) -> Falcon:
    """Run a command line in the workspace."""

    def run(*words: str | Path) -> Done:
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run
