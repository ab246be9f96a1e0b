"""Gate: may the trained model replace the one in service? A decision with every reason.

"Refused" is a result like "passed", not a failure. The decision names the hashes of all it
judged; promotion (``registry.py``) compares them with ``dvc.lock`` and the champion again.
"""

from dataclasses import asdict, dataclass
from typing import Any

import yaml

from falcon.config import GateSettings
from falcon.errors import UserError
from falcon.evaluation.intervals import Interval
from tasks.support import dvc
from tasks.support.checks import validate
from tasks.support.expectations import Suites, among, between, present, rows
from tasks.support.files import path_md5, read_json, write_json
from tasks.support.handover import read_champion
from tasks.support.provenance import settings_hash
from tasks.support.scores import POOLED, BenchmarkScores, figure_text, read_scores
from tasks.support.stage import Stage, StageResult
from tasks.support.workspace import STAGES, Workspace

JUDGED = STAGES[:-1]
"""The stages the gate looks at."""


@dataclass(frozen=True)
class Reason:
    """One condition of ``gate.json``: its name, whether it holds, and the figures as text."""

    name: str
    passed: bool
    said: str


def run(stage: Stage) -> StageResult:
    """Writes ``gate.json``: the decision, its reasons and the hashes of what it judged."""
    import pandas as pd

    space, settings = stage.space, stage.settings
    lock = dvc.lock(space.root)
    scores = read_scores(space.output("benchmark") / "scores.json")
    _, card = read_champion(space)
    opponent = "champion" if card else "base"
    reasons = [
        *(checks_of(space, name) for name in JUDGED),
        *(results_of(space, name, lock) for name in JUDGED),
        *(settings_of(space, name, lock) for name in JUDGED),
        *comparisons(scores, opponent, settings.gate),
        *cut_answers(scores, opponent),
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
    tables = {
        "reasons": pd.DataFrame([asdict(r) for r in reasons]),
        "facts": pd.DataFrame([{"stages": len(JUDGED), "scores_read": bool(scores.policies)}]),
    }
    report = validate("gate", tables, expectations(), docs=stage.docs)
    failed = sum(not reason.passed for reason in reasons)
    return StageResult({"passed": float(passed), "reasons_against": float(failed)}, report)


def checks_of(space: Workspace, stage: str) -> Reason:
    """The stage's data checks were made and none critical failed."""
    report = read_json(space.output(stage) / "checks.json", hint=f"Run `dvc repro {stage}`.")
    n, failures = int(report["evaluated"]), list(report["failures"])
    good = bool(report["passed"]) and n > 0 and not failures
    text = f"{n} expectations, {len(failures)} failed, {len(report['warnings'])} warnings"
    return Reason(f"checks of {stage}", good, text)


def results_of(space: Workspace, stage: str, lock: dict[str, Any]) -> Reason:
    """The present results are those DVC saw the stage make. Raises UserError if it never ran."""
    if stage not in lock:
        raise UserError(f"dvc.lock knows no run of `{stage}`.", hint="Run `dvc repro`.")
    outs = lock[stage].get("outs") or []
    changed = [
        out["path"]
        for out in outs
        if not (file := space.root / out["path"]).exists() or path_md5(file) != out["md5"]
    ]
    since = f"changed since: {', '.join(changed)}"
    text = since if changed else f"{len(outs)} outputs as in dvc.lock"
    return Reason(f"results of {stage}", bool(outs) and not changed, text)


def settings_of(space: Workspace, stage: str, lock: dict[str, Any]) -> Reason:
    """The stage was made with the present settings: an edit may have come between two stages."""
    params = lock[stage].get("params") or {}
    changed = []
    for name, used in params.items():
        file = space.root / name
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
        changed += [key for key, value in used.items() if _setting(tree, key) != value]
    since = f"other values of {', '.join(changed)} than now"
    text = since if changed else f"{sum(map(len, params.values()))} as in dvc.lock"
    return Reason(f"settings of {stage}", not changed, text)


def _setting(tree: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def comparisons(scores: BenchmarkScores, opponent: str, gate: GateSettings) -> list[Reason]:
    """The paired test on ``gate.metric`` over all suites, and no fall on any of them."""
    differences = scores.against(opponent)
    tested: Interval | None = getattr(differences[POOLED], gate.metric)
    if gate.require == "better":
        good, wanted = tested is not None and tested.low > 0, "the interval must lie above 0"
    else:
        good, wanted = holds(tested, gate.tolerance), f"may fall by {gate.tolerance}"
    text = f"{figure_text(tested)}; {wanted}"
    reasons = [Reason(f"{gate.metric} against {opponent}", good, text)]
    for suite, difference in differences.items():
        if suite == POOLED:
            continue
        for name, figure, tolerance in (
            ("pass@1", difference.pass_rate, gate.tolerance),
            ("style", difference.style, gate.quality_tolerance),
            ("complexity", difference.complexity, gate.quality_tolerance),
        ):
            text = f"{figure_text(figure)}; may fall by {tolerance}"
            reasons.append(Reason(f"{name} on {suite}", holds(figure, tolerance), text))
    return reasons


def cut_answers(scores: BenchmarkScores, opponent: str) -> list[Reason]:
    """How many answers the length limit cut, for a reader: a model may win by being brief.

    Without a limit, since a cut answer that fails is in pass@1 and reward already.
    """
    reasons = []
    for suite, trained in scores.policies["trained"].items():
        other = scores.policies[opponent][suite].cut_text
        text = f"trained {trained.cut_text}, {opponent} {other}; decides nothing"
        reasons.append(Reason(f"answers cut on {suite}", True, text))
    return reasons


def holds(difference: Interval | None, tolerance: float) -> bool:
    """Whether a paired difference is known and its mean falls by no more than ``tolerance``."""
    return difference is not None and difference.value >= -tolerance


def rates(space: Workspace, gate: GateSettings) -> list[Reason]:
    """Faults of our own and tampering programs were rare."""
    rollout = read_json(space.output("rollout") / "metrics.json")
    benchmark = read_json(space.output("benchmark") / "metrics.json")
    fault, tamper = benchmark.get("trained/fault_rate"), benchmark.get("trained/tamper_rate")
    limits = (
        ("sandbox faults in rollouts", rollout.get("fault_rate"), gate.max_fault_rate),
        ("sandbox faults in benchmarks", fault, gate.max_fault_rate),
        ("tampering of the trained policy", tamper, gate.max_tamper_rate),
    )
    return [
        Reason(
            name,
            value is not None and value <= limit,
            f"{'unknown' if value is None else format(value, '.4f')}; at most {limit}",
        )
        for name, value, limit in limits
    ]


def expectations() -> Suites:
    """The decision itself: every check was looked at and every hash compared."""
    return {
        "reasons": [rows(), present("name"), present("said"), among("passed", [True, False])],
        "facts": [between("stages", 5, 5), among("scores_read", [True])],
    }
