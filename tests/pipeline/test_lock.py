"""One run at a time in a workspace; the kernel gives the lock back when its holder dies."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pipeline_workspace import sh

from falcon.errors import UserError
from tasks.support.lock import exclusive, note_stage
from tasks.support.workspace import Workspace

HOLDER = """
from tasks.support.lock import exclusive, note_stage
from tasks.support.workspace import Workspace
space = Workspace.here()
with exclusive(space, "falcon run"):
    note_stage(space, "train")
    print("held", flush=True)
    input()
"""


def held(space: Workspace) -> subprocess.Popen[str]:
    """A process that holds the lock of a workspace."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", HOLDER]
    process = subprocess.Popen(words, cwd=space.root, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_at_once_who_is_at_work_and_the_first_s_death_frees_the_way(
    space: Workspace,
) -> None:
    first = held(space)
    params = (space.root / "params.yaml").read_bytes()
    for words in (["run"], ["stage", "seed"], ["train"], ["benchmark"]):
        done = sh(
            space.root, sys.executable, "-m", "falcon.cli", *words, "--set", "seed=7", COLUMNS="200"
        )
        assert done.returncode == 2
        assert "`falcon run` is at work here since 20" in done.stderr
        assert f"(process {first.pid}, stage `train`)" in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
        assert "defect" not in done.stderr
    assert (space.root / "params.yaml").read_bytes() == params  # the first one's settings
    first.kill()
    first.wait()
    with exclusive(space, "falcon run"):
        pass


def test_a_command_and_its_flow_share_the_lock(space: Workspace) -> None:
    file = space.state / "run.lock"
    with exclusive(space, "falcon run"):
        with exclusive(space, "flow falcon-train"):
            note_stage(space, "seed")
        card = json.loads(file.read_text())
        assert (card["what"], card["stage"]) == ("falcon run", "seed")
        other = subprocess.run(
            [sys.executable, "-c", HOLDER], cwd=space.root, capture_output=True, text=True
        )
        assert "is at work here" in other.stderr  # the inner block has not given it back
    note_stage(space, "train")  # nothing is held: nothing is written
    assert json.loads(file.read_text())["stage"] == "seed"
    with exclusive(space, "falcon schedule", name="schedule"), exclusive(space, "falcon run"):
        pass  # they do not keep each other out


def test_the_lock_of_a_holder_that_says_nothing_yet_is_respected(space: Workspace) -> None:
    import fcntl

    with (space.state / "run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another command"), exclusive(space, "falcon run"):
            pass
