"""Model version: one version of the registered model, and the tags that say what made it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from falcon.config import Settings
from tasks.support.decision import read_gate
from tasks.support.files import path_md5
from tasks.support.marker import read_marker
from tasks.support.provenance import provenance
from tasks.support.scores import read_scores
from tasks.support.workspace import Workspace


@dataclass(frozen=True)
class ModelVersion:
    """A version of the registered model."""

    number: str
    run_id: str
    tags: dict[str, str]

    @classmethod
    def of(cls, version: Any) -> ModelVersion:
        """From MLflow's own record."""
        return cls(str(version.version), version.run_id or "", dict(version.tags))

    @property
    def policy(self) -> str:
        """Hash of its adapter folder."""
        return self.tags.get("policy.md5", "")


def version_tags(space: Workspace, settings: Settings, policy: str) -> dict[str, str]:
    """Tags by which the exact inputs of the present results are found again.

    ``policy`` is the hash of the adapter folder. Raises UserError when there is no decision.
    """
    decision = read_gate(space)
    against = [r["name"] for r in decision["reasons"] if not r["passed"]]
    scores = read_scores(space.output("benchmark") / "scores.json")
    figures = {
        suite: {
            "pass_at_1": score.pass_at_1 and score.pass_at_1.value,
            "style": score.style and score.style.value,
            "complexity": score.complexity and score.complexity.value,
        }
        for suite, score in scores.policies["trained"].items()
    }
    return {
        **provenance(space.root, settings),
        "policy.md5": policy,
        "memory.digest": path_md5(space.output("train") / "memory"),
        "gate": decision["decision"],
        "gate.against": json.dumps(against),
        "gate.opponent": json.dumps(decision["opponent"]),
        "gate.report": json.dumps(decision["reasons"])[:4900],  # a tag holds 5000 characters
        "scores": json.dumps(figures),
        "run.train": read_marker(space, "train").get("run_id", ""),
    }
