"""The gate's decision, and the registry that obeys it, on a real SQLite registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pipeline_workspace import REPOSITORY, write_before
from safetensors.numpy import save_file

from falcon.config import GateSettings
from falcon.errors import UserError
from tasks import gate
from tasks.support import dvc
from tasks.support.errors import PromotionRefused
from tasks.support.files import path_md5, write_json
from tasks.support.provenance import read_gate
from tasks.support.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry
from tasks.support.scores import read_scores
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace


def interval(value: float, half: float = 0.05, name: str = "value") -> dict[str, float]:
    return {name: value, "low": value - half, "high": value + half}


def scores(gain: float = 0.2, *, opponent: str = "base", style: float = 0.0) -> dict[str, Any]:
    """Scores of a trained policy that is ``gain`` better, as the benchmark stage writes them."""
    score = {
        "problems": 20,
        "pass@1": interval(0.3),
        "reward": interval(0.1, name="mean"),
        "style": interval(0.5, name="mean"),
        "complexity": interval(0.5, name="mean"),
        "verdicts": {"pass": 0.3, "failure": 0.7, "runtime": 0.0, "syntax": 0.0},
    }
    difference = {
        "pass_rate": interval(gain, name="difference"),
        "reward": interval(gain, name="difference"),
        "style": interval(style, name="difference"),
        "complexity": interval(0.0, name="difference"),
    }
    return {
        "policies": {p: {"suites": {"builtin": score}} for p in {"base", "trained", opponent}},
        "comparisons": {f"trained-{opponent}": {"builtin": difference, "pooled": difference}},
    }


def lay_out(space: Workspace, seed: int, figures: dict[str, Any]) -> None:
    """Results of five stages and a dvc.lock that names them."""
    policy = space.output("train") / "policy"
    shutil.rmtree(space.root / "outputs", ignore_errors=True)
    policy.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(2, 2)).astype(np.float32)
    save_file({"lora": weights}, policy / "adapter_model.safetensors")
    write_json(policy / "adapter_config.json", {"r": 2})
    (space.output("train") / "memory").mkdir()
    (space.output("train") / "memory" / "segment-000001.jsonl").write_text("")
    report = {"passed": True, "evaluated": 3, "failures": [], "warnings": []}
    stages = {}
    for stage in gate.JUDGED:
        write_json(space.output(stage) / "checks.json", report)
        metrics = {"fault_rate": 0.0, "trained/fault_rate": 0.0, "trained/tamper_rate": 0.0}
        write_json(space.output(stage) / "metrics.json", metrics)
        if stage == "benchmark":
            write_json(space.output(stage) / "scores.json", figures)
        paths = sorted(p for p in space.output(stage).iterdir())
        outs = [{"path": str(p.relative_to(space.root)), "md5": path_md5(p)} for p in paths]
        stages[stage] = {"cmd": f"python -m tasks {stage}", "outs": outs}
    (space.root / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def decide(space: Workspace) -> dict[str, Any]:
    """Run the gate stage for real, and enter it into dvc.lock."""
    from tasks.support.stage import run_stage

    write_before(space)
    run_stage("gate")
    lock = yaml.safe_load((space.root / "dvc.lock").read_text())
    file = space.output("gate") / "gate.json"
    out = {"path": "outputs/gate/gate.json", "md5": path_md5(file)}
    lock["stages"]["gate"] = {"outs": [out]}
    (space.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    return read_gate(space)


@pytest.mark.flow
def test_promotion_from_first_model_to_rollback(space: Workspace) -> None:
    settings = space.settings()
    tracker = Tracker(settings, space)
    registry = Registry(tracker, settings)
    assert registry.by_alias(CHAMPION) is None
    with pytest.raises(UserError, match="falcon run"):
        registry.register()

    # The first model is compared with the untrained one.
    lay_out(space, 1, scores())
    assert decide(space)["decision"] == "passed"
    first = registry.register()
    assert registry.by_alias(CHALLENGER) == registry.by_policy(first.policy)
    assert registry.register().number == first.number  # the same files are one version
    assert registry.promote().number == first.number
    assert not (space.root / "mlruns").exists()
    assert list((space.state / "mlartifacts").rglob("codegen_model.py"))
    champion = registry.by_alias(CHAMPION)
    assert champion is not None
    assert registry.by_alias(CHALLENGER) is None
    listed = yaml.safe_load((REPOSITORY / "mlflow" / "registry.yaml").read_text())
    assert set(listed["tags"]) <= set(champion.tags)
    assert set(listed["aliases"]) == {CHAMPION, CHALLENGER, PREVIOUS}
    assert listed["model"] == registry.name
    assert champion.tags["dvc.data.md5"] == dvc.data_version(space.root)

    # A second model that was compared with the untrained one may not replace it ...
    lay_out(space, 2, scores())
    decide(space)
    second = registry.register()
    assert second.number != first.number
    with pytest.raises(PromotionRefused, match="but version 1 is in service"):
        registry.promote(approve_refused=True)
    # ... and may after it was compared with the one in service, which was fetched for that.
    assert registry.fetch_champion() == champion
    fetched = space.handover / "champion"
    assert path_md5(fetched / "adapter") == first.policy
    lay_out(space, 2, scores(opponent="champion"))
    assert decide(space)["opponent"] == {"policy": "champion", "version": first.number}
    registry.register()
    assert registry.promote().number == second.number
    previous = registry.by_alias(PREVIOUS)
    assert previous is not None
    assert previous.number == first.number
    assert previous.tags["replaced_by"] == second.number

    assert registry.rollback().number == first.number
    again = registry.by_alias(CHAMPION)
    assert again is not None
    assert (again.number, "rolled back" in again.tags["in_service"]) == (first.number, True)
    back = registry.by_alias(PREVIOUS)
    assert back is not None
    assert back.number == second.number


@pytest.mark.flow
def test_a_refused_model_is_registered_and_not_promoted_and_a_stale_decision_is_void(
    space: Workspace,
) -> None:
    settings = space.settings()
    registry = Registry(Tracker(settings, space), settings)
    lay_out(space, 3, scores(gain=-0.2))
    decision = decide(space)  # a refusal is a result: the stage does not fail
    assert decision["decision"] == "refused"
    against = {r["name"] for r in decision["reasons"] if not r["passed"]}
    assert against == {"reward against base", "pass@1 on builtin"}
    version = registry.register()
    assert json.loads(version.tags["gate.against"]) == [
        "reward against base",
        "pass@1 on builtin",
    ]
    with pytest.raises(PromotionRefused, match="reward against base"):
        registry.promote()
    assert registry.by_alias(CHAMPION) is None
    # Hashes are beyond approval.
    weights = space.output("train") / "policy" / "adapter_model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept + b"x")
    with pytest.raises(UserError, match="not the policy that the gate judged"):
        registry.promote(approve_refused=True)
    weights.write_bytes(kept)
    file = space.output("gate") / "gate.json"
    honest = file.read_text()
    file.write_text(honest.replace('"refused"', '"passed"'))
    with pytest.raises(UserError, match="not the one that DVC saw"):
        registry.promote()
    file.write_text(honest)
    assert registry.promote(approve_refused=True).number == version.number
    champion = registry.by_alias(CHAMPION)
    assert champion is not None
    assert "approved by hand" in champion.tags["in_service"]


@pytest.mark.parametrize(
    ("figures", "settings", "passed"),
    [
        (scores(0.2), GateSettings(), True),
        (scores(0.04), GateSettings(), False),  # better, but the interval reaches below 0
        (scores(0.04), GateSettings(require="not_worse"), True),
        (scores(-0.01), GateSettings(require="not_worse"), True),
        (scores(-0.04), GateSettings(require="not_worse"), False),
        (scores(0.2, style=-0.3), GateSettings(), False),
        (scores(0.2, style=-0.3), GateSettings(quality_tolerance=0.4), True),
        (scores(0.2, style=float("nan")), GateSettings(), False),
    ],
)
def test_the_paired_test_and_the_tolerances(
    tmp_path: Path, figures: dict[str, Any], settings: GateSettings, passed: bool
) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(figures).replace("NaN", "null"))
    reasons = gate.comparisons(read_scores(file), "base", settings)
    assert all(reason.passed for reason in reasons) is passed


def test_a_result_edited_by_hand_is_noticed(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    lay_out(space, 1, scores())
    lock = dvc.lock(space.root)
    assert gate.results_of(space, "benchmark", lock).passed
    file = space.output("benchmark") / "scores.json"
    file.write_text(file.read_text() + " ")
    reason = gate.results_of(space, "benchmark", lock)
    assert not reason.passed
    assert "scores.json" in reason.said
    with pytest.raises(UserError, match="dvc repro"):
        gate.results_of(space, "gate", lock)


@pytest.mark.parametrize(
    ("report", "passed"),
    [
        ({"passed": True, "evaluated": 3, "failures": [], "warnings": ["w"]}, True),
        ({"passed": True, "evaluated": 0, "failures": [], "warnings": []}, False),
        ({"passed": False, "evaluated": 3, "failures": ["f"], "warnings": []}, False),
        ({"passed": True, "evaluated": 3, "failures": ["f"], "warnings": []}, False),
    ],
)
def test_a_stage_counts_as_checked_only_when_something_was(
    tmp_path: Path, report: dict[str, Any], passed: bool
) -> None:
    space = Workspace(tmp_path)
    write_json(space.output("seed") / "checks.json", report)
    assert gate.checks_of(space, "seed").passed is passed
