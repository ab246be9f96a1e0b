"""Tags of a model version: by which its exact inputs are found again."""

from __future__ import annotations

import json

from falcon.config import Settings
from tasks.support.files import path_md5
from tasks.support.provenance import provenance, read_gate, read_marker
from tasks.support.scores import read_scores
from tasks.support.workspace import Workspace


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
