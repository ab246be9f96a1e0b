"""What a stage reads must be the same when it ends: else its result is not accepted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
from pipeline_workspace import dvc, sh, write_before

from falcon.errors import UserError
from tasks.support.params import write_run_settings, write_settings
from tasks.support.stage_inputs import StageInputs
from tasks.support.workspace import Workspace


def added(name: str, text: str) -> Callable[[Workspace], None]:
    def edit(space: Workspace) -> None:
        with (space.root / name).open("a") as file:
            file.write(text)

    return edit


def other_settings(space: Workspace) -> None:
    write_settings(space, "gpu")
    write_run_settings(space)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (added("falcon/suite.py", "\nADDED = 1\n"), "falcon/suite.py"),
        (added("data/problems.jsonl", "\n"), "data/problems.jsonl"),
        (added("data/more.jsonl", "{}\n"), "data/more.jsonl"),
        (other_settings, "outputs/settings.yaml"),
        (added("falcon/suite.py", "\n# Said.\n"), ""),
        (added("falcon/memory/plots.py", "\nADDED = 1\n"), ""),
        (added("params.yaml", "\n# Said.\n"), ""),
    ],
)
def test_a_change_while_a_stage_runs_is_named(
    space: Workspace, edit: Callable[[Workspace], None], named: str
) -> None:
    write_before(space)
    inputs = StageInputs(space, "prepare")
    inputs.require_recorded()
    edit(space)
    if not named:
        inputs.require_unchanged()
        return
    with pytest.raises(UserError, match=f"{named} changed while `prepare` ran"):
        inputs.require_unchanged()


EDITING = """
import sys, tasks.prepare, tasks.support.stage
ran = tasks.prepare.run
def run(stage):
    result = ran(stage)
    if (marker := stage.space.root / "edit").exists():
        marker.unlink()
        with (stage.space.root / "falcon" / "suite.py").open("a") as file:
            file.write("\\nADDED = 1\\n")
    return result
tasks.prepare.run = run
from tasks.__main__ import main
sys.exit(main(["prepare"]))
"""


@pytest.mark.flow
def test_dvc_keeps_no_result_of_code_that_was_edited_meanwhile(space: Workspace) -> None:
    (space.root / "editing.py").write_text(EDITING)
    (space.root / "edit").touch()
    stages = space.root / "dvc.yaml"
    stages.write_text(stages.read_text().replace("python -m tasks prepare", "python editing.py"))
    command = (sys.executable, "-m", "dvc", "repro", "prepare")
    done = sh(space.root, *command, PATH=os.environ["PATH"])
    said = [line for line in done.stderr.splitlines() if line.startswith("falcon: ")]
    assert len(said) == 1, done.stderr
    assert "falcon/suite.py changed while `prepare` ran" in said[0]
    assert "exited with 2" in done.stderr
    assert "prepare:" not in (space.root / "dvc.lock").read_text()
    assert "Running stage 'prepare'" in dvc(space.root, "repro", "prepare").stdout
    assert "prepare:" in (space.root / "dvc.lock").read_text()
