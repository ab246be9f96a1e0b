"""What a person sees of a run: rows, bars or lines, warnings, and nothing of the libraries."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys

import pytest
from pipeline_workspace import sh
from rich.console import Console

from falcon import env
from falcon.monitor.relay import MARK
from tasks.support.errors import StageFailed
from tasks.support.run_console import RunConsole, shown
from tasks.support.stage_output import StageOutput, log_file
from tasks.support.stage_summary import decision_text, stage_lines
from tasks.support.workspace import Workspace
from tests.growing_log import GrowingLog

GENERATE = f'{MARK}[{{"description": "generate", "total": 8, "done": 3, "begun": 3}}]'


def test_a_log_has_rows_of_what_has_ended_and_lines_of_what_is_under_way(
    space: Workspace,
) -> None:
    log, told = GrowingLog(), list[str]()
    with RunConsole(Console(file=log), every=0.01) as console:
        console.head("falcon run", space.settings(), space.root)
        with StageOutput(space, "rollout", told.append, every=0.01) as output:
            log.wait_for(
                r"  rollout +at 0:0\d  getting ready\n"
            )  # before the process says anything
            output.take(GENERATE)
            output.take("Loading weights: 100%|####| 272/272")
            output.take("warning: the server of the memory is away")
            log.wait_for(r"  rollout +at 0:0\d  generate 3/8\n")
            output.take(f"{MARK}[]")
            log.wait_for(r"  rollout +at 0:0\d  data and checks\n")
        console.finished("rollout", "ran", 75.0, ["4 programs, 25 % passed", "a second line"])
        console.finished("train", "up to date", 0.0, ["2 steps"])
        logging.getLogger("prefect.flow_runs").warning("Prefect is away")
        logging.getLogger("prefect.flow_runs").error("what ends the run is said by its end")
    text = log.getvalue()
    assert re.match(r"falcon run: profile \w+, model smollm2-135m-instruct, .*cores?\n", text)
    assert (
        "  rollout         1:15  4 programs, 25 % passed\n" + " " * 24 + "a second line\n" in text
    )
    assert "  train      unchanged  2 steps\n" in text
    assert "warning: the server of the memory is away\n" in text
    assert text.endswith("warning: Prefect is away\n")
    assert "Loading" not in text
    assert any("generate 3/8" in each for each in told)  # the log of the flow has it, too
    kept = log_file(space, "rollout").read_text()
    assert "Loading weights" in kept
    assert MARK not in kept


def test_a_line_of_a_log_waits_for_its_time_after_a_row(space: Workspace) -> None:
    log = io.StringIO()
    with (
        RunConsole(Console(file=log), every=3600.0) as console,
        StageOutput(space, "seed", lambda _: None) as output,
    ):
        for _ in range(100):
            output.take(GENERATE)
        console.finished("seed", "ran", 1.0, ["memory of 4"])
    assert log.getvalue() == "  seed            0:01  memory of 4\n"


def test_a_stage_that_fails_has_a_row_and_names_its_log(space: Workspace) -> None:
    log = io.StringIO()
    with (
        pytest.raises(StageFailed, match=r"exit 1\): crashed What it printed: .*/logs/train\.log"),
        RunConsole(Console(file=log)),
        StageOutput(space, "train", lambda _: None),
    ):
        raise StageFailed("train", 1, "crashed")
    assert re.fullmatch(r"  train +0:0\d  failed\n", log.getvalue())
    with pytest.raises(StageFailed) as caught, StageOutput(space, "train", lambda _: None):
        raise StageFailed("train", 2, "a setting is wrong")
    assert caught.value.hint == ""  # the message says all
    shown().warn("there is no console any more, so nobody sees this")


def test_a_terminal_has_bars_below_the_rows_and_both_fit_into_it(space: Workspace) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24, _environ={})
    with RunConsole(console) as shows:
        shows.finished("gate", "ran", 5.0, ["refused against the untrained model: " + "so " * 40])
        with StageOutput(space, "rollout", lambda _: None) as output:
            output.take(GENERATE)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "generate  ━" in text
    assert "3/8" in text
    assert max(len(row) for row in re.split(r"[\r\n]", text)) <= 80


def test_the_log_of_prefect_stands_alone_when_it_is_asked_for(space: Workspace) -> None:
    log, told = GrowingLog(), GrowingLog()
    with RunConsole(Console(file=log), every=0.001, verbose=True):
        with StageOutput(space, "seed", told.write, every=0.001):
            told.wait_for("getting ready")
        logging.getLogger("prefect.task_runs").warning("said by Prefect's own handler")
    assert log.getvalue() == ""


def test_figures_of_a_training_are_means_of_its_first_and_last_steps(space: Workspace) -> None:
    out = space.output("train")
    out.mkdir(parents=True)
    (out / "metrics.json").write_text("{}")
    checks = {"warnings": ["tampering", "memory", "another"]}
    (out / "checks.json").write_text(json.dumps(checks))
    rows = [f"{n},{reward},{passed}" for n, (reward, passed) in enumerate(
        [(-1, 0), (0, 0.5), (9, 1), (1, 0.5), (0, 1)]
    )]  # fmt: skip
    (out / "curves.csv").write_text("step,reward/tests,verdict/pass\n" + "\n".join(rows))
    assert stage_lines(space, "train") == [
        "5 steps, reward -0.50 to 0.50, passed 25 % to 75 % (means of the first and the last 2)",
        "warning: tampering",
        "warning: memory",
        "1 more warnings",
    ]


def test_a_decision_is_one_sentence() -> None:
    good = {"name": "checks of prepare", "passed": True, "said": "15"}
    metric = {"name": "reward against base", "passed": True, "said": "+0.1 [+0.0, +0.2]"}
    decision = {"opponent": {"version": ""}, "reasons": [good, metric]}
    assert decision_text(decision) == (
        "passed against the untrained model: all 2 conditions hold;"
        " reward against base +0.1 [+0.0, +0.2]"
    )
    bad = [{**metric, "passed": False, "name": f"pass@1 on {n}"} for n in range(4)]
    decision = {"opponent": {"version": "3"}, "reasons": [good, *bad]}
    assert decision_text(decision) == (
        "refused against version 3: pass@1 on 0 +0.1 [+0.0, +0.2];"
        " pass@1 on 1 +0.1 [+0.0, +0.2]; and 2 more"
    )


LIBRARIES = """
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT as quiet
from tqdm.auto import tqdm
from transformers.utils import logging
list(tqdm(range(3), desc="Converting"))
list(logging.tqdm(range(3), desc="Loading weights"))
assert quiet.get()
"""


def test_libraries_draw_no_bars_of_their_own(tmp_path) -> None:
    theirs = {"PATH": "/usr/bin"}
    env.apply(tmp_path, theirs)
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES], env=theirs, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


@pytest.mark.flow
def test_a_stage_by_hand_shows_its_row_and_keeps_what_it_printed(space: Workspace) -> None:
    words = (sys.executable, "-m", "falcon.cli", "stage", "prepare")
    under_way = r"(?:  prepare +at .*\n)*"  # where the machine is slow
    row = under_way + r"  prepare +{}  8 problems: 2 demo, 3 train, 1 valid, 2 test\n"
    done = sh(space.root, *words)
    assert re.fullmatch(row.format(r"\d:\d\d"), done.stdout), done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (0, "")
    kept = log_file(space, "prepare").read_text()
    assert "Running stage 'prepare'" in kept
    assert MARK not in kept
    done = sh(space.root, *words)
    assert re.fullmatch(row.format("unchanged"), done.stdout), done.stdout + done.stderr
    done = sh(space.root, *words, "--force", "-v")
    assert "Running stage 'prepare'" in done.stdout
