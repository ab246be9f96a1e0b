"""The gate's decision, and the registry that obeys it, on a real SQLite registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trained_results import decide, lay_out, lay_out_files, scores

from falcon.config import GateSettings
from falcon.errors import UserError
from tasks import gate
from tasks.support import dvc
from tasks.support.errors import PromotionRefused
from tasks.support.files import path_md5, write_json
from tasks.support.mlflow_store import import_mlflow
from tasks.support.promotion_policy import read_policy
from tasks.support.provenance import read_gate
from tasks.support.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry
from tasks.support.scores import read_scores
from tasks.support.service_history import events
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace


@pytest.mark.flow
def test_promotion_from_first_model_to_the_second(
    space: Workspace, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    settings = space.settings()
    registry = Registry(Tracker(settings, space), settings)
    assert registry.by_alias(CHAMPION) is None
    with pytest.raises(UserError, match="falcon run"):
        registry.register()

    # The first model is compared with the untrained one.
    lay_out(space, 1, scores())
    assert decide(space)["decision"] == "passed"
    first = registry.register()
    assert registry.by_alias(CHALLENGER) == registry.by_policy(first.policy)
    assert registry.register().number == first.number  # the same files are one version
    assert registry.promote(automatic=True).number == first.number
    # Nobody has to read what MLflow thinks of type hints.
    assert not [str(each.message) for each in recwarn if "mlflow" in each.filename]
    assert not [each for each in caplog.records if each.name.startswith("mlflow.models")]
    assert not (space.root / "mlruns").exists()
    assert list((space.state / "mlartifacts").rglob("codegen_model.py"))
    # What was judged is there whole, and the scores are metrics of the model.
    uri = f"models:/{registry.name}/{first.number}/record"
    record = Path(import_mlflow().artifacts.download_artifacts(artifact_uri=uri))
    assert json.loads((record / "gate.json").read_text()) == read_gate(space)
    made = json.loads((record / "artifacts.json").read_text())["made"]
    assert made["train"]["outputs/train/policy"] == first.policy
    (model,) = registry.tracker.client.search_logged_models([registry.tracker.experiment_id()])
    assert {m.key: m.value for m in model.metrics}["builtin/pass_at_1"] == 0.3
    champion = registry.by_alias(CHAMPION)
    assert champion is not None
    assert registry.by_alias(CHALLENGER) is None
    assert set(read_policy(space.root).tags) <= set(champion.tags)
    assert champion.tags["dvc.data.md5"] == dvc.data_version(space.root)

    # A second model that was compared with the untrained one may not replace it ...
    lay_out(space, 2, scores())
    decide(space)
    second = registry.register()
    assert second.number != first.number
    with pytest.raises(PromotionRefused, match="but version 1 is in service"):
        registry.promote(approve=True)
    # ... and may after it was compared with the one in service, which was fetched for that.
    assert registry.fetch_champion() == champion
    fetched = space.handover / "champion"
    assert path_md5(fetched / "adapter") == first.policy
    lay_out(space, 2, scores(opponent="champion"))
    assert decide(space)["opponent"] == {"policy": "champion", "version": first.number}
    registry.register()
    assert registry.promote(automatic=True).number == second.number
    previous = registry.by_alias(PREVIOUS)
    assert previous is not None
    assert previous.number == first.number
    # The tags stay as they were written; the decision that let it in is added.
    after = registry.versions()[second.number].tags
    changed = {k for k, v in after.items() if second.tags.get(k) != v}
    assert changed == {"decisions", "in_service"}
    opponents = [each["opponent"]["policy"] for each in json.loads(after["decisions"])]
    assert opponents == ["base", "champion"]


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
        registry.promote(approve=True)
    weights.write_bytes(kept)
    file = space.output("gate") / "gate.json"
    honest = file.read_text()
    file.write_text(honest.replace('"refused"', '"passed"'))
    with pytest.raises(UserError, match="not the one that DVC saw"):
        registry.promote()
    file.write_text(honest)
    assert registry.promote(approve=True, why="it is urgent").number == version.number
    champion = registry.by_alias(CHAMPION)
    assert champion is not None
    (event,) = events(champion.tags)
    assert (event.what, event.why) == ("approved", "it is urgent (set aside: gate_passed)")


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


def test_answers_that_were_cut_are_shown_and_decide_nothing(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    figures = json.loads(json.dumps(scores()))  # no part is shared
    figures["policies"]["base"]["suites"]["builtin"]["truncated"] = None
    figures["policies"]["trained"]["suites"]["builtin"]["truncated"] = 0.9
    file.write_text(json.dumps(figures))
    (reason,) = gate.cut_answers(read_scores(file), "base")
    assert (reason.name, reason.passed) == ("answers cut on builtin", True)
    assert reason.said == "trained 90.0%, base unknown; decides nothing"


def test_a_result_edited_by_hand_is_noticed(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    lay_out_files(space, 1, scores())
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
