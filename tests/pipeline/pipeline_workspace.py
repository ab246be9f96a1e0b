"""Workspaces for tests: the product's files, git, DVC, and small real data."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from falcon import env
from tasks.support.params import write_run_settings
from tasks.support.stage_code import write_stage_code
from tasks.support.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
TOPS = ("falcon", "tasks", "flows", "mlflow", "handover", "profiles")
FILES = ("params.yaml", "dvc.yaml", "pyproject.toml", ".dvcignore", ".gitignore", "prefect.yaml")

WORDS = ("sum", "largest", "smallest", "count", "first", "last", "middle", "product")


def problem(number: int, split: str) -> dict[str, object]:
    """A problem of its own kind for each number, with a reference that passes."""
    name = f"{WORDS[number % len(WORDS)]}_{number}"
    return {
        "id": f"builtin/{name}",
        "source": "builtin",
        "split": split,
        "difficulty": "introductory",
        "statement": f"Return the {WORDS[number % len(WORDS)]} made of x, {number + 2} and its square.",
        "entry_point": name,
        "tests": {
            "kind": "call",
            "entry_point": name,
            "calls": [{"args": [x], "expected": x * (number + 2) + number**2} for x in range(1, 4)],
        },
        "solutions": [f"def {name}(x):\n    return x * {number + 2} + {number**2}\n"],
    }


def write_data(folder: Path, problems: list[dict[str, object]]) -> None:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(each) + "\n" for each in problems)
    (folder / "problems.jsonl").write_text(text, encoding="utf-8")


def sh(root: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a workspace with its own environment."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_", "FALCON_"))
    }
    environment["PYTHONPATH"] = str(root)
    env.apply(root, environment)
    environment |= extra
    return subprocess.run(
        words, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=540
    )


def dvc(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = sh(root, sys.executable, "-m", "dvc", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def make_workspace(root: Path) -> Workspace:
    """Copy the product to ``root`` and give it git, DVC, a remote of its own and data."""
    root.mkdir(parents=True)
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for top in TOPS:
        shutil.copytree(REPOSITORY / top, root / top, ignore=skip)
    for left in (root / "handover").glob("*/*"):  # of runs in the repository itself
        if left.name != "README.md":
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    for file in FILES:
        shutil.copyfile(REPOSITORY / file, root / file)
    (root / ".dvc").mkdir()
    shutil.copyfile(REPOSITORY / ".dvc" / "config", root / ".dvc" / "config")
    splits = ("demo", "train", "train", "train", "valid", "test", "test", "demo")
    write_data(root / "data", [problem(i, split) for i, split in enumerate(splits)])
    params = root / "params.yaml"
    text = params.read_text(encoding="utf-8")
    # Embeddings of the real model cost seconds a process; the hashed ones are as real to the rest.
    params.write_text(
        text.replace("encoder: all-minilm-l6-v2", "encoder: hash").replace(
            "names: [humaneval, builtin]", "names: [builtin]"
        ),
        encoding="utf-8",
    )
    for words in (
        ("git", "init", "-q"),
        ("git", "config", "user.email", "a@example.org"),
        ("git", "config", "user.name", "A"),
    ):
        assert sh(root, *words).returncode == 0
    dvc(root, "add", "-q", "data")
    assert sh(root, "git", "add", "-A").returncode == 0
    assert sh(root, "git", "commit", "-q", "-m", "start").returncode == 0
    return Workspace(root.resolve())


def write_before(space: Workspace) -> None:
    """What the stages `settings` and `code` write, for a stage that is called without DVC."""
    write_run_settings(space)
    write_stage_code(space)


def enter(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a workspace the working folder and let MLflow keep its runs there."""
    monkeypatch.chdir(made.root)
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "FALCON_")):
            monkeypatch.delenv(name)
    for name, value in env.defaults(made.root).items():
        if name.startswith("MLFLOW_"):
            monkeypatch.setenv(name, value)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process and its children grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
