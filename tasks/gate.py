"""Gate: may the trained model replace the one in service? A decision with every reason.

"Refused" is a result like "passed", not a failure. The decision names the hashes of all it
judged; promotion (``registry.py``) compares them with ``dvc.lock`` and the champion again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from falcon.config import GateSettings
from falcon.errors import UserError
from tasks.benchmark import champion
from tasks.support import dvc
from tasks.support import expectations as suites
from tasks.support.checks import validate
from tasks.support.scores import POOLED, Interval, Scores, read_scores
from tasks.support.stage import Stage, StageResult
from tasks.support.workspace import (
    STAGES,
    Workspace,
    path_md5,
    read_json,
    settings_hash,
    write_json,
)

JUDGED = STAGES[:-1]
"""The stages the gate looks at."""


@dataclass(frozen=True)
class Reason:
    """One condition: its name, whether it holds, and the figures."""

    name: str
    passed: bool
    said: str


def body(stage: Stage) -> StageResult:
    """Writes ``gate.json``: the decision, its reasons and the hashes it speaks of."""
    import pandas as pd

    space, settings = stage.space, stage.settings
    lock = dvc.lock(space.root)
    scores = read_scores(space.output("benchmark") / "scores.json")
    _, card = champion(space)
    opponent = "champion" if card else "base"
    reasons = [
        *(checked(space, name) for name in JUDGED),
        *(unchanged(space, name, lock) for name in JUDGED),
        *compared(scores, opponent, settings.gate),
        *rates(space, settings.gate),
    ]
    passed = all(reason.passed for reason in reasons)
    decision = {
        "decision": "passed" if passed else "refused",
        "opponent": {"policy": opponent, "version": str(card.get("version", ""))},
        "reasons": [asdict(reason) for reason in reasons],
        "stages": {name: dvc.entry_hash(lock[name]) for name in JUDGED},
        "policy": path_md5(space.output("train") / "policy"),
        "settings": settings_hash(settings),
    }
    write_json(stage.out / "gate.json", decision)
    stage.artifacts.append(stage.out / "gate.json")
    stage.run.tags({"gate": decision["decision"]})
    report = validate(
        "gate",
        {
            "reasons": pd.DataFrame([asdict(r) for r in reasons]),
            "facts": pd.DataFrame([{"stages": len(JUDGED), "scores_read": bool(scores.policies)}]),
        },
        suites.gate(),
        docs=stage.docs,
    )
    failed = sum(not reason.passed for reason in reasons)
    return StageResult({"passed": float(passed), "reasons_against": float(failed)}, report)


def checked(space: Workspace, stage: str) -> Reason:
    """The stage's data checks were made and none critical failed."""
    report = read_json(space.output(stage) / "checks.json", hint=f"Run `dvc repro {stage}`.")
    n, failures = int(report["evaluated"]), list(report["failures"])
    good = bool(report["passed"]) and n > 0 and not failures
    said = f"{n} expectations, {len(failures)} failed, {len(report['warnings'])} warnings"
    return Reason(f"checks of {stage}", good, said)


def unchanged(space: Workspace, stage: str, lock: dict[str, Any]) -> Reason:
    """What lies there is what DVC saw the stage make. Raises UserError for one never run by DVC."""
    if stage not in lock:
        raise UserError(f"dvc.lock knows no run of `{stage}`.", hint="Run `dvc repro`.")
    outs = lock[stage].get("outs") or []
    other = [
        out["path"]
        for out in outs
        if not (space.root / out["path"]).exists()
        or path_md5(space.root / out["path"]) != out["md5"]
    ]
    said = f"changed since: {', '.join(other)}" if other else f"{len(outs)} outputs as in dvc.lock"
    return Reason(f"results of {stage}", bool(outs) and not other, said)


def compared(scores: Scores, opponent: str, gate: GateSettings) -> list[Reason]:
    """The paired test on ``gate.metric`` over all suites, and no fall on any of them."""
    differences = scores.against(opponent)
    tested: Interval = getattr(differences[POOLED], gate.metric)
    if gate.require == "better":
        good, wanted = tested.low is not None and tested.low > 0, "the interval must lie above 0"
    else:
        good, wanted = holds(tested, gate.tolerance), f"may fall by {gate.tolerance}"
    reasons = [Reason(f"{gate.metric} against {opponent}", good, f"{tested}; {wanted}")]
    for suite, difference in differences.items():
        if suite == POOLED:
            continue
        for name, figure, tolerance in (
            ("pass@1", difference.pass_rate, gate.tolerance),
            ("style", difference.style, gate.quality_tolerance),
            ("complexity", difference.complexity, gate.quality_tolerance),
        ):
            said = f"{figure}; may fall by {tolerance}"
            reasons.append(Reason(f"{name} on {suite}", holds(figure, tolerance), said))
    return reasons


def holds(difference: Interval, tolerance: float) -> bool:
    """Whether a paired difference is known and its mean falls by no more than ``tolerance``."""
    return difference.value is not None and difference.value >= -tolerance


def rates(space: Workspace, gate: GateSettings) -> list[Reason]:
    """Our own faults and tampering programs were rare."""
    rolled = read_json(space.output("rollout") / "metrics.json")
    scored = read_json(space.output("benchmark") / "metrics.json")
    limits = (
        ("sandbox faults in rollouts", rolled.get("fault_rate"), gate.max_fault_rate),
        ("sandbox faults in benchmarks", scored.get("trained/fault_rate"), gate.max_fault_rate),
        (
            "tampering of the trained policy",
            scored.get("trained/tamper_rate"),
            gate.max_tamper_rate,
        ),
    )
    return [
        Reason(
            name,
            value is not None and value <= limit,
            f"{'unknown' if value is None else format(value, '.4f')}; at most {limit}",
        )
        for name, value, limit in limits
    ]


def read_gate(space: Workspace) -> dict[str, Any]:
    """``gate.json``. Raises UserError when the gate stage has not run."""
    return dict(
        read_json(space.output("gate") / "gate.json", hint="Run `falcon run` or `dvc repro gate`.")
    )


def still_speaks_of(space: Workspace, decision: dict[str, Any]) -> None:
    """Raises UserError unless the decision is about exactly what lies there now.

    Compares the gate file with ``dvc.lock``, every stage's entry, and the policy's files.
    """
    hint = "Run `falcon run` again."
    lock = dvc.lock(space.root)
    file: Path = space.output("gate") / "gate.json"
    if dvc.out_hash(space.root, "gate", "outputs/gate/gate.json") != path_md5(file):
        raise UserError(f"{file} is not the one that DVC saw the gate stage make.", hint=hint)
    for name, seen in decision["stages"].items():
        if name not in lock or dvc.entry_hash(lock[name]) != seen:
            raise UserError(
                f"the gate judged another result of `{name}` than the present one.", hint=hint
            )
    policy = space.output("train") / "policy"
    if not policy.is_dir() or path_md5(policy) != decision["policy"]:
        raise UserError(f"{policy} is not the policy that the gate judged.", hint=hint)
