"""Tags of a model version: by which its exact inputs are found again.

Made once, of the records of the runs that made the results and of the settings they were made
with, never of the workspace of the moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.support import dvc
from tasks.support.files import path_md5, read_json
from tasks.support.memory import memory_digest
from tasks.support.provenance import read_gate, read_marker, settings_hash
from tasks.support.scores import read_scores
from tasks.support.service_history import now
from tasks.support.workspace import STAGES, Workspace

NO_RECORD = "none (this clone has no record of the run)"


@dataclass(frozen=True)
class Identity:
    """What makes two results one version: the same policy, memory and settings."""

    policy: str
    memory: str
    settings: str

    @classmethod
    def of_results(cls, space: Workspace) -> Identity:
        """Of the present results."""
        out = space.output("train")
        settings = settings_hash(space.stage_settings())
        return cls(path_md5(out / "policy"), memory_digest(out / "memory"), settings)

    @classmethod
    def of_tags(cls, tags: dict[str, str]) -> Identity:
        """Of a registered version."""
        names = ("policy.md5", "memory.digest", "settings.hash")
        return cls(*(tags.get(name, "") for name in names))


def version_tags(space: Workspace) -> dict[str, str]:
    """Tags of the present results. Raises UserError when there is no decision about them."""
    decision = read_gate(space)
    same = Identity.of_results(space)
    markers = {stage: read_marker(space, stage) for stage in STAGES}
    training = dict(markers["train"].get("provenance") or {})
    against = [r["name"] for r in decision["reasons"] if not r["passed"]]
    digests = {k: v for each in markers.values() for k, v in (each.get("digests") or {}).items()}
    return {
        **digests,
        "git.commit": NO_RECORD,
        "profile": NO_RECORD,
        **training,
        "dvc.data.md5": _data(space, markers) or NO_RECORD,
        "settings.hash": same.settings,
        "policy.md5": same.policy,
        "memory.digest": same.memory,
        "start.version": _start(space),
        "gate": decision["decision"],
        "gate.against": json.dumps(against),
        "gate.opponent": json.dumps(decision["opponent"]),
        "decisions": decision_added({}, space, decision),
        "scores": json.dumps(figures(space)),
        **{f"run.{stage}": marker.get("run_id", "") for stage, marker in markers.items()},
        "run.pipeline": markers["gate"].get("parent_run_id", ""),
    }


def _start(space: Workspace) -> str:
    """The version that the training started from, or "base"."""
    file = space.output("train") / "lineage.json"
    start = read_json(file)["start"] if file.is_file() else {}
    return str(start.get("version") or "base")


def _data(space: Workspace, markers: dict[str, dict[str, Any]]) -> str:
    """The data that the prepare stage read: by ``dvc.lock``, else by the record of its run."""
    deps = (dvc.lock(space.root).get("prepare") or {}).get("deps") or []
    locked = next((str(dep.get("md5", "")) for dep in deps if dep["path"] == "data"), "")
    recorded = (markers["prepare"].get("provenance") or {}).get("dvc.data.md5", "")
    return locked or str(recorded)


def figures(space: Workspace) -> dict[str, dict[str, float | None]]:
    """The trained policy's scores, by benchmark."""
    scores = read_scores(space.output("benchmark") / "scores.json")
    names = ("pass_at_1", "reward", "style", "complexity")
    return {
        suite: {name: (each := getattr(score, name)) and each.value for name in names}
        for suite, score in scores.policies["trained"].items()
    }


def last_decision(tags: Mapping[str, str]) -> dict[str, Any]:
    """What the gate decided last about a registered version, in the form of ``gate.json``.

    Empty for a version that was registered before decisions were kept.
    """
    kept = json.loads(tags.get("decisions") or "[]")
    if not kept:
        return {}
    reasons = [{"name": name, "said": "no", "passed": False} for name in kept[-1]["against"]]
    return {**kept[-1], "reasons": reasons}


def decision_added(tags: dict[str, str], space: Workspace, decision: dict[str, Any]) -> str:
    """The tag ``decisions`` with the present one; "" when it is there already."""
    md5 = path_md5(space.output("gate") / "gate.json")
    kept = json.loads(tags.get("decisions") or "[]")
    if any(each["gate.json"] == md5 for each in kept):
        return ""
    new = {
        "gate.json": md5,
        "decision": decision["decision"],
        "opponent": decision["opponent"],
        "against": [r["name"] for r in decision["reasons"] if not r["passed"]],
        "when": now(),
    }
    return json.dumps([*kept, new])
