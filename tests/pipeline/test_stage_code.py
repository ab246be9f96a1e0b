"""Stage code: which stages an edit of the source makes stale, with the real DVC."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_workspace import REPOSITORY, dvc

from tasks.support.stage_code import BY_NAME, NO_RESULT, code_file, stage_code, write_stage_code
from tasks.support.workspace import STAGES, Workspace

ALL = set(STAGES)
WRITE = {"rollout", "train", "benchmark"}  # stages in which a model writes programs


def stale(space: Workspace) -> set[str]:
    """Stages whose recorded code is not that of the workspace any more; it is recorded anew."""
    before = {stage: code_file(space, stage).read_bytes() for stage in STAGES}
    write_stage_code(space)
    return {stage for stage in STAGES if code_file(space, stage).read_bytes() != before[stage]}


def edited(file: Path, change: Callable[[str], str]) -> None:
    text = file.read_text()
    assert change(text) != text, file
    file.write_text(change(text))


def statement(text: str) -> str:
    return text + "\nADDED = 1\n"


def comment(text: str) -> str:
    """A comment and another docstring, above and below everything."""
    return "# Said.\n" + text.replace('"""', '"""Changed. ', 1) + "\n\n# Said again.\n"


@pytest.mark.parametrize(
    ("file", "stages"),
    {
        "falcon/memory/plots.py": set(),
        "falcon/memory/report.py": set(),
        "falcon/evaluation/plots.py": set(),
        "falcon/evaluation/report.py": set(),
        "falcon/problems/overlap_report.py": set(),
        "falcon/cli/main.py": set(),
        "falcon/policy/fetch.py": set(),
        "falcon/monitor/protocol.py": set(),
        "falcon/listing.py": set(),
        "falcon/comparison/arms.py": set(),
        "falcon/evaluation/rescore.py": set(),
        "flows/training.py": set(),
        "tasks/support/tracking.py": set(),
        "tasks/support/run_report.py": set(),
        # A reward, a prompt form, what runs the programs, what learns, and what is looked at.
        "falcon/feedback/style.py": {"seed", *WRITE},
        "falcon/prompts/forms.py": {"seed", *WRITE},  # seed: a model that judges is asked by it
        "falcon/sandbox/worker/limits.py": {"prepare", "seed", *WRITE},
        "falcon/sandbox/worker/compare/apps.py": {"prepare", "seed", *WRITE},
        "falcon/sandbox/confined/jail/seccomp.py": {"prepare", "seed", *WRITE},
        "falcon/critics/endpoint.py": {"seed", *WRITE},
        "falcon/policy/packaged.py": {"seed", *WRITE},  # the digest that a model's name stands for
        "falcon/training/methods/mrlf.py": {"train"},
        "falcon/training/inner_loop.py": {"train", "benchmark"},
        "falcon/memory/seeding.py": {"seed"},
        "falcon/problems/mbpp.py": {"prepare", "benchmark"},
        "falcon/evaluation/scores.py": {"benchmark"},
        "falcon/files.py": ALL,
        "tasks/support/checks.py": ALL,
        "tasks/support/stage.py": ALL,
        "tasks/gate.py": {"gate"},
    }.items(),
)
def test_an_edit_makes_stale_what_it_may_change(
    shared: Workspace, file: str, stages: set[str]
) -> None:
    write_stage_code(shared)
    place = shared.root / file
    before = place.read_text()
    try:
        edited(place, comment)
        assert stale(shared) == set()
        edited(place, statement)
        assert stale(shared) == stages
    finally:
        place.write_text(before)
    assert stale(shared) == stages  # and back again


@pytest.mark.flow
def test_dvc_runs_a_stage_again_after_an_edit_and_not_after_a_comment(space: Workspace) -> None:
    def status() -> set[str]:
        dvc(space.root, "repro", "code")
        return set(json.loads(dvc(space.root, "status", "--json").stdout.splitlines()[-1]))

    dvc(space.root, "repro", "seed")
    later = {"rollout", "train", "benchmark", "gate"}  # which never ran
    assert status() == later
    for file in ("falcon/memory/report.py", "falcon/evaluation/plots.py"):
        edited(space.root / file, statement)
    for file in ("falcon/feedback/style.py", "tasks/support/checks.py", "falcon/memory/log.py"):
        edited(space.root / file, comment)
    assert status() == later
    edited(space.root / "falcon" / "feedback" / "style.py", statement)
    assert status() == {"seed", *later}
    edited(space.root / "tasks" / "support" / "checks.py", statement)
    assert status() == {"prepare", "seed", *later}
    # By hand, without `code` before it, DVC finds the edit as well.
    edited(space.root / "falcon" / "problems" / "mbpp.py", statement)
    assert "Running stage 'prepare'" in dvc(space.root, "repro", "prepare").stdout


def test_the_digests_are_those_of_a_first_reading(shared: Workspace) -> None:
    write_stage_code(shared)
    memo = shared.state / "cache" / "modules.json"
    again = {stage: stage_code(shared, stage) for stage in STAGES}
    memo.write_text("broken")
    assert {stage: stage_code(shared, stage) for stage in STAGES} == again
    memo.unlink()
    assert {stage: stage_code(shared, stage) for stage in STAGES} == again


def test_what_changes_no_result_is_there_and_says_why() -> None:
    for name, reason in NO_RESULT.items():
        place = REPOSITORY / name.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").is_file(), name
        assert reason
    for starter, packages in BY_NAME.items():
        text = (REPOSITORY / f"{starter.replace('.', '/')}.py").read_text()
        assert "importlib" in text
        assert all((REPOSITORY / each.replace(".", "/")).is_dir() for each in packages)


def test_nothing_is_imported_by_name_that_the_source_does_not_show() -> None:
    """Imports that only a text names would be missed, so those that are there are known."""
    known = {
        "falcon/problems/mbpp.py",  # an optional package
        "falcon/sandbox/confined/arguments.py",  # numpy, where there is one
        "falcon/sandbox/confined/entry.py",  # of a package of BY_NAME
        "falcon/sandbox/confined/operations.py",  # asyncio, of the standard library
        "falcon/sandbox/confined/seeds.py",  # numpy, where there is one
        "falcon/sandbox/confined/zygote.py",  # of the standard library
        "falcon/sandbox/wire/live.py",  # of the standard library
        "tasks/support/lifetime.py",  # runs no stage
        "tasks/support/stage.py",  # the stage itself
        "tasks/support/study.py",  # no stage
    }
    found = {
        str(file.relative_to(REPOSITORY))
        for folder in ("falcon", "tasks")
        for file in (REPOSITORY / folder).rglob("*.py")
        if any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1]
            in ("import_module", "__import__", "run_module")
            for node in ast.walk(ast.parse(file.read_text()))
        )
    }
    assert found == known


def test_files_beside_the_modules_change_no_result() -> None:
    """Templates draw; a style of prompts is of a command. A new kind of file is to be looked at."""
    found = {
        str(file.relative_to(REPOSITORY))
        for folder in ("falcon", "tasks")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    assert found == {
        "falcon/evaluation/report.html.j2",
        "falcon/problems/codal_style.jsonl",
        "falcon/problems/overlap.html.j2",
        "falcon/py.typed",
        "tasks/support/data_docs.css",
        "tasks/support/run_page.html.j2",
    }
