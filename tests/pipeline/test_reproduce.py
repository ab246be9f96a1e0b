"""A registered version: its data, code, settings, memory and score again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from models import stir, tiny_causal
from pipeline_workspace import sh
from trained_results import decide, lay_out, scores

from falcon.cli.main import run
from falcon.config import parse_overrides
from falcon.evaluation import BenchmarkFolders, run_benchmark
from falcon.monitor import SilentMonitor
from falcon.policy.policy import Policy
from tasks.support.files import path_md5
from tasks.support.memory import open_memory
from tasks.support.params import write_run_settings, write_settings
from tasks.support.registry import Registry
from tasks.support.workspace import Workspace

TINY = (
    "policy.dtype=float32",
    "policy.lora_rank=4",
    "policy.max_prompt_tokens=900",
    "benchmark.limit=2",
    "benchmark.max_new_tokens=16",
)


def scored(space: Workspace, model: Path) -> None:
    """A version whose scores are those of its adapter, registered."""
    write_settings(space, "", parse_overrides([*TINY, f"policy.model={model}"]))
    (space.root / "falcon" / "extra.py").write_text("X = 1\n")  # code that is not committed
    lay_out(space, 1, scores())
    write_run_settings(space)
    settings, train = space.stage_settings(), space.output("train")
    policy = Policy.load(settings.policy, seed=3)
    stir(policy)
    shutil.rmtree(train / "policy")
    policy.save(train / "policy")
    out = space.output("benchmark")
    with open_memory(space, settings, train / "memory") as memory:
        run_benchmark(
            settings,
            folders=BenchmarkFolders(space.data, out, space.state / "work"),
            memory=memory,
            policies={"base": None, "trained": train / "policy"},
            monitor=SilentMonitor(),
        )
    for name in ("samples.parquet", "report.html"):
        (out / name).unlink()
    _enter_lock(space)
    decide(space)
    Registry.here().register()


def _enter_lock(space: Workspace) -> None:
    """Let dvc.lock name the present results."""
    import yaml

    file = space.root / "dvc.lock"
    tree = yaml.safe_load(file.read_text())
    for stage in ("train", "benchmark"):
        for each in tree["stages"][stage]["outs"]:
            each["md5"] = path_md5(space.root / each["path"])
    file.write_text(yaml.safe_dump(tree))


@pytest.mark.flow
@pytest.mark.timeout(300)
def test_the_score_is_the_same_to_the_last_digit_or_what_is_missing_is_named(
    space: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored(space, tiny_causal(tmp_path / "model", chat=True))
    run_id = Registry.here().versions()["1"].tags["run.benchmark"]
    assert run(["reproduce", "1"]) == 2
    assert f"code.patch of run {run_id} is missing" in capsys.readouterr().err
    patch = next((space.state / "patches").rglob("code.patch"))
    Registry.here().tracker.client.log_artifact(run_id, str(patch))

    (space.root / "falcon" / "extra.py").write_text("X = 2\n")  # of another moment
    code = run(["reproduce", "1", "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    made = json.loads(said.out)
    place = space.state / "reproduce" / "1"
    assert (made["folder"], made["equal"]) == (str(place), True)
    recorded = json.loads((space.output("benchmark") / "scores.json").read_text())
    assert made["scores"] == recorded["policies"]["trained"]["suites"]
    assert (place / "falcon" / "extra.py").read_text() == "X = 1\n"
    assert (place / "data" / "problems.jsonl").is_file()

    # Another score on record is a difference with a name, not a fault.
    (file,) = space.state.glob("mlartifacts/**/record/scores.json")
    tree = json.loads(file.read_text())
    tree["policies"]["trained"]["suites"]["builtin"]["problems"] += 1
    file.write_text(json.dumps(tree))
    assert run(["reproduce", "1"]) == 1
    assert "builtin/problems" in capsys.readouterr().out

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    shutil.rmtree(space.root / ".dvc" / "cache")
    for words, wanted in (
        (("7",), "no version 7"),
        (("1", "--into", str(tmp_path / "full")), "is not empty"),
        (("1",), "is in no cache or remote of DVC"),
    ):
        assert run(["reproduce", *words]) == 2
        assert wanted in capsys.readouterr().err
    _forget_commits(space)
    assert run(["reproduce", "1"]) == 2
    assert "is not in this clone" in capsys.readouterr().err


def _forget_commits(space: Workspace) -> None:
    """A history that does not know the commit of the version."""
    shutil.rmtree(space.root / ".git")
    for words in (("init", "-q"), ("add", "-A"), ("-c", "user.name=a", "-c", "user.email=a@b.c",
                  "commit", "-qm", "other")):  # fmt: skip
        assert sh(space.root, "git", *words).returncode == 0
