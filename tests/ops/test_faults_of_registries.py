"""The registry away, cut off or doubted: one version is in service, and it is the right one."""

from __future__ import annotations

import json
import shutil
import signal

import pytest

from tests.ops.clone import FALCON, REGISTRY, Clone, Moment
from tests.ops.servers import Server

ALIAS = "mlflow.tracking.client:MlflowClient.set_registered_model_alias"
TAG = "mlflow.tracking.client:MlflowClient.set_model_version_tag"


@pytest.mark.nightly
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(f"{REGISTRY}.register", id="register", marks=pytest.mark.row(
            "registry", "when the version is registered", "the registry is away",
            "one line; back again, the same command does only what is left")),
        pytest.param(f"{REGISTRY}.promote", id="promote", marks=pytest.mark.row(
            "registry", "when the version is promoted", "the registry is away",
            "one line; back again, the same command promotes it, once")),
    ],
)  # fmt: skip
def test_a_registry_that_goes_away(
    clone: Clone, prefect_url: str, tracker: Server, call: str
) -> None:
    clone.uri = tracker.url
    extra = {"MLFLOW_TRACKING_URI": tracker.url, "PREFECT_API_URL": prefect_url}
    clone.forget("gate")
    running = clone.start(*FALCON, "run", at=Moment("falcon.cli run", call=call), **extra)
    running.reached()
    tracker.stop()
    running.go()
    running.end().refused(tracker.url, "failed")
    tracker.start()
    done = clone.falcon("run", **extra).ok()
    assert done.how("gate") == "unchanged"
    assert clone.aliases() == {"champion": "1"}
    assert list(clone.versions()) == ["1"]
    assert "RUNNING" not in clone.runs().values()


@pytest.mark.parametrize(
    "call", [ALIAS, pytest.param(TAG, marks=pytest.mark.nightly)], ids=["alias", "tag"]
)
@pytest.mark.row(
    "rollback", "between its alias writes", "kill -9",
    "one version in service throughout; the same command ends what was begun, not twice",
)  # fmt: skip
def test_a_rollback_that_is_killed_between_its_writes(clone_of_two: Clone, call: str) -> None:
    clone = clone_of_two
    clone.killed("rollback", at=Moment("falcon.cli rollback", call=call))
    assert clone.serving() in ("1", "2")
    clone.falcon("rollback").ok()
    assert clone.serving() == "1"
    clone.falcon("run").ok()
    assert clone.serving() == "1"


@pytest.mark.row(
    "promote", "two at the same time", "`falcon promote` twice",
    "both end in one line; one version in service, the one before it on record",
)  # fmt: skip
def test_two_promotions_at_once(clone_of_two: Clone) -> None:
    clone = clone_of_two
    clone.falcon("rollback").ok()
    at = Moment("falcon.cli promote", call=ALIAS)
    first = clone.start(*FALCON, "promote", "--approve", at=at).reached()
    second = clone.start(*FALCON, "promote", "--approve")
    first.go()
    first.end().ok()
    other = second.end()
    assert other.code in (0, 2), other.all
    assert "Traceback" not in other.all
    assert clone.aliases() == {"champion": "2", "previous": "1"}


@pytest.mark.row(
    "promote", "while a rollback is under way", "`falcon promote` and `falcon rollback` at once",
    "one after the other: one version in service, never champion and previous the same",
)  # fmt: skip
def test_a_promotion_while_a_rollback_is_under_way(clone_of_two: Clone) -> None:
    clone = clone_of_two
    at = Moment("falcon.cli rollback", call=ALIAS)
    first = clone.start(*FALCON, "rollback", at=at).reached()
    second = clone.start(*FALCON, "promote", "--approve")
    first.go()
    first.end().ok()
    done = second.end()
    assert "Traceback" not in done.all
    aliases = clone.aliases()
    assert aliases["champion"] != aliases.get("previous")
    # The promotion was asked for last and approved, or was refused because of the rollback.
    assert aliases["champion"] == ("2" if done.code == 0 else "1"), done.all


@pytest.mark.nightly
@pytest.mark.row(
    "rollback", "afterwards", "`falcon run` with nothing changed, and after a gate by force",
    "version 1 stays in service: nothing undoes a rollback",
)  # fmt: skip
def test_nothing_undoes_a_rollback(clone_of_two: Clone, prefect_url: str) -> None:
    clone = clone_of_two
    clone.falcon("rollback").ok()
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert clone.serving() == "1"
    clone.falcon("stage", "gate", "--force").ok()
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert clone.serving() == "1"
    clone.falcon("promote").refused("not promoted")
    clone.falcon("promote", "--approve").ok()
    assert clone.serving() != "1"


@pytest.mark.row(
    "withdraw", "afterwards", "`falcon run` with nothing changed",
    "the version before serves again; the withdrawn one never comes back by itself",
)  # fmt: skip
def test_a_withdrawn_version_does_not_come_back(clone_of_two: Clone, prefect_url: str) -> None:
    clone = clone_of_two
    clone.falcon("withdraw", "2", "--why", "wrong answers").ok()
    assert clone.serving() == "1"
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert clone.serving() == "1"


@pytest.mark.row(
    "withdraw", "the only version", "the first champion is withdrawn, then `falcon run`",
    "nothing is in service, and no run puts it back",
)  # fmt: skip
def test_the_first_champion_can_be_withdrawn(clone: Clone, prefect_url: str) -> None:
    clone.falcon("withdraw", "--why", "wrong answers").ok()
    assert clone.serving() == ""
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert clone.serving() == ""
    assert list(clone.versions()) == ["1"]


@pytest.mark.nightly
@pytest.mark.row(
    "gate to registry", "after the gate refused", "gate.json is forged",
    "refused in one line, with --approve, too; `falcon run` decides anew",
)  # fmt: skip
def test_a_forged_decision_promotes_nothing(clone: Clone, prefect_url: str) -> None:
    clone.falcon("stage", "gate", "--set", "gate.metric=reward", "--set", "gate.require=better")
    file = clone.space.output("gate") / "gate.json"
    decision = json.loads(file.read_text())
    assert decision["decision"] == "refused"
    honest = file.read_text()
    file.unlink()
    file.write_text(honest.replace('"refused"', '"passed"'))
    for words in (("promote",), ("promote", "--approve")):
        clone.falcon(*words).refused("gate.json")
    assert clone.serving() == "1"
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    assert json.loads(file.read_text())["decision"] == "refused"


@pytest.mark.row(
    "train to registry", "after the gate passed", "the adapter is another file now",
    "promotion refused in one line; `falcon run` restores what the gate judged",
)  # fmt: skip
def test_an_adapter_that_was_edited_is_not_promoted(clone_of_two: Clone, prefect_url: str) -> None:
    clone = clone_of_two
    before = clone.facts()
    adapter = clone.space.output("train") / "policy" / "adapter_model.safetensors"
    content = adapter.read_bytes()
    adapter.unlink()
    adapter.write_bytes(content[:-4] + b"\0\0\0\1")
    clone.falcon("promote", "--approve").refused("policy")
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "at its start", "mlflow/registry.yaml is broken",
    "one line that names the file, before any stage; mended, it runs",
)  # fmt: skip
def test_a_broken_policy_file_is_said_before_any_stage(clone: Clone) -> None:
    before = clone.facts()
    file = clone.root / "mlflow" / "registry.yaml"
    good = file.read_text()
    for broken in ("promotion: [", "promotion: {automatik: true}\n" + good):
        file.write_text(broken)
        for words in (("run",), ("promote",), ("rollback",)):
            clone.falcon(*words).refused("registry.yaml")
    file.write_text(good)
    clone.falcon("run").ok()
    clone.whole(before)


@pytest.mark.row(
    "promote", "while a run trains", "Ctrl-C of the promotion at its lock or a write",
    "exit 130, nothing half done; again, it is done",
)  # fmt: skip
def test_a_promotion_that_is_interrupted(clone_of_two: Clone) -> None:
    clone = clone_of_two
    clone.falcon("rollback").ok()
    at = Moment("falcon.cli promote", call=ALIAS)
    running = clone.start(*FALCON, "promote", "--approve", at=at).reached()
    running.send(signal.SIGINT)
    running.go()
    assert running.end().code == 130
    assert clone.serving() in ("1", "2")
    clone.falcon("promote", "--approve").ok()
    assert clone.aliases() == {"champion": "2", "previous": "1"}


@pytest.mark.nightly
@pytest.mark.row(
    "registry", "a version's files", "the adapter of the model in service is gone from the store",
    "a run says so in one line, or compares with what it has; nothing is promoted",
)  # fmt: skip
def test_files_of_the_champion_that_are_gone_are_named(clone: Clone, prefect_url: str) -> None:
    for adapter in [*(clone.root / "state" / "mlartifacts").rglob("adapter_model.safetensors")]:
        if "artifacts/adapter" in str(adapter):
            shutil.rmtree(adapter.parent)
    done = clone.falcon("run", "--set", "train.steps=1", PREFECT_API_URL=prefect_url)
    assert "Traceback" not in done.all
    if done.code:
        done.refused("1")
    assert clone.serving() == "1"
