"""Promotion policy: ``mlflow/registry.yaml``, and whether a version may go into service by it.

:func:`decide` only compares what it is given; it asks no registry and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from falcon.errors import UserError
from tasks.support.errors import ApprovalNeeded, PromotionRefused
from tasks.support.model_version import ModelVersion
from tasks.support.service_history import past, start_withdrawn
from tasks.support.yaml_file import read_yaml

Condition = Literal[
    "gate_passed", "compared_with_champion", "never_served", "start_stands", "tags", "committed"
]
Command = Literal["promote", "rollback", "withdraw"]

UNKNOWN = "none ("
"""How the value of a tag begins that says why there is none."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromotionRules(_Part):
    """What a promotion needs."""

    automatic: bool
    approval: Literal["none", "human"]
    approval_hours: float = Field(72.0, gt=0)  # how long a person may take
    conditions: tuple[Condition, ...]
    approve_sets_aside: tuple[Condition, ...]


class RollbackRules(_Part):
    """Where a rollback may go."""

    to_withdrawn: Literal["approve", "never"]


class PromotionPolicy(_Part):
    """The whole file."""

    promotion: PromotionRules
    rollback: RollbackRules
    why_required: tuple[Command, ...]
    tags: tuple[str, ...]

    def require_why(self, command: Command, why: str) -> None:
        """Raise UserError when the policy wants a reason for ``command`` and there is none."""
        if command in self.why_required and not why.strip():
            raise UserError(
                f"`falcon {command}` needs a reason (why_required in mlflow/registry.yaml).",
                hint=f'falcon {command} --why "..."',
            )


def read_policy(root: Path) -> PromotionPolicy:
    """``mlflow/registry.yaml``. Raises UserError with its line when it is absent or wrong."""
    file = root / "mlflow" / "registry.yaml"
    try:
        tree = read_yaml(file, with_lines=True)
    except FileNotFoundError:
        raise UserError(
            f"{file} is not there.", hint="git checkout -- mlflow/registry.yaml"
        ) from None
    if not isinstance(tree, Mapping):
        raise UserError(f"{file}: line 1: the top level must be a mapping.")
    try:
        return PromotionPolicy.model_validate(tree)
    except ValidationError as fault:
        # A misspelt key is missing, too; its line says more.
        first = min(fault.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"])
        what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise UserError(f"{file}: line {_line(tree, first['loc'])}: `{where}`: {what}.") from None


def _line(tree: Any, where: tuple[int | str, ...]) -> int:
    """The line of a key, or of the nearest one above it that is there."""
    line = 1
    for part in where:
        try:
            place = tree.lc.item(part) if isinstance(part, int) else tree.lc.key(part)
            line, tree = place[0] + 1, tree[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return int(line)


@dataclass(frozen=True)
class Candidate:
    """A version that may go into service.

    ``past`` says in words when it, or a version of the same weights, was in service or withdrawn;
    ``start`` when the version that its training started from was withdrawn.
    """

    number: str
    tags: Mapping[str, str]
    past: str = ""
    start: str = ""

    @classmethod
    def of(cls, version: ModelVersion, versions: Mapping[str, ModelVersion]) -> Candidate:
        """A registered version; ``versions`` are all of the model, by number."""
        earlier = [version, *(v for v in versions.values() if v.policy == version.policy)]
        told = next(filter(None, (past(v.number, v.tags) for v in earlier)), "")
        start = start_withdrawn(version.tags, {n: v.tags for n, v in versions.items()})
        return cls(version.number, version.tags, told, start)


@dataclass(frozen=True)
class ConditionResult:
    """One condition: whether it holds, in words, and whether an approval set it aside."""

    name: str
    holds: bool
    text: str
    set_aside: bool = False


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a version may go into service, with every condition."""

    number: str
    conditions: tuple[ConditionResult, ...]

    @property
    def against(self) -> tuple[ConditionResult, ...]:
        """Conditions that forbid it."""
        return tuple(each for each in self.conditions if not (each.holds or each.set_aside))

    @property
    def allowed(self) -> bool:
        """Whether nothing forbids it."""
        return not self.against

    @property
    def approved(self) -> tuple[str, ...]:
        """Names of the conditions that only an approval set aside."""
        return tuple(each.name for each in self.conditions if each.set_aside)

    def require(self, policy: PromotionPolicy) -> None:
        """Raise PromotionRefused, with everything against it and what to do, unless allowed."""
        if self.allowed:
            return
        names = {each.name for each in self.against}
        if names == {"approval"}:
            raise ApprovalNeeded(
                f"version {self.number} is not promoted: it waits for a person.",
                hint="falcon promote",
            )
        if names <= {"automatic", "approval"}:
            hint = "falcon promote"
        elif "compared_with_champion" in names:
            hint = "Run `falcon run`: it compares with the model in service."
        elif names <= {*policy.promotion.approve_sets_aside, "automatic", "approval"}:
            hint = "`falcon promote --approve` does it all the same, and keeps that on record."
        else:
            hint = "mlflow/registry.yaml says what a promotion needs."
        texts = "; ".join(each.text for each in self.against)
        raise PromotionRefused(f"version {self.number} is not promoted: {texts}.", hint=hint)


def decide(
    policy: PromotionPolicy,
    gate: Mapping[str, Any],
    candidate: Candidate,
    champion: str,
    *,
    automatic: bool = False,
    approve: bool = False,
) -> PromotionDecision:
    """Judge a candidate by the policy.

    ``gate`` is ``gate.json``, ``champion`` the number in service ("": none). ``automatic``: no
    person asks for it. ``approve``: a person sets aside what the policy lets them.
    """
    rules = policy.promotion
    judges = {
        "gate_passed": _gate_passed(gate),
        "compared_with_champion": _compared(str(gate["opponent"]["version"]), champion),
        "never_served": candidate.past,
        "start_stands": candidate.start,
        "tags": _missing(policy.tags, candidate.tags),
        "committed": _committed(candidate.tags.get("git.commit", "")),
    }
    results = []
    for name in rules.conditions:
        text = judges[name]
        aside = bool(text) and approve and name in rules.approve_sets_aside
        results.append(ConditionResult(name, not text, text, aside))
    if automatic:
        text = "" if rules.automatic else "promotion.automatic is false in mlflow/registry.yaml"
        results.append(ConditionResult("automatic", not text, text))
        text = "promotion.approval is human" if rules.approval == "human" else ""
        results.append(ConditionResult("approval", not text, text))
    return PromotionDecision(candidate.number, tuple(results))


# Each says in words what is against the version; "" when the condition holds.


def _gate_passed(gate: Mapping[str, Any]) -> str:
    if gate["decision"] == "passed":
        return ""
    reasons = (f"{r['name']}: {r['said']}" for r in gate["reasons"] if not r["passed"])
    return f"the gate refused it ({'; '.join(reasons)})"


def _compared(judged: str, champion: str) -> str:
    """Another model may have gone into service since: then the comparison was with a wrong one."""
    if judged == champion:
        return ""
    compared = f"version {judged}" if judged else "the untrained model"
    now = f"version {champion}" if champion else "no model"
    return f"the gate compared with {compared}, but {now} is in service"


def _missing(wanted: tuple[str, ...], tags: Mapping[str, str]) -> str:
    lacks = [
        f"{name} ({tags[name][len(UNKNOWN) : -1]})" if tags.get(name) else name
        for name in wanted
        if not tags.get(name) or tags[name].startswith(UNKNOWN)
    ]
    return f"it lacks {', '.join(lacks)}" if lacks else ""


def _committed(commit: str) -> str:
    return "it was made by code that was not committed" if commit.endswith("-dirty") else ""
