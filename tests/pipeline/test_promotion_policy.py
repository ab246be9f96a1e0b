"""The promotion policy: its file, and the decision as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pipeline_workspace import REPOSITORY

from falcon.errors import UserError
from tasks.support.errors import ApprovalNeeded, PromotionRefused
from tasks.support.promotion_policy import Candidate, PromotionPolicy, decide, read_policy

FILE = REPOSITORY / "mlflow" / "registry.yaml"
TAGS = dict.fromkeys(read_policy(REPOSITORY).tags, "x")
PAST = "version 2 was withdrawn (2026-11-28 by anna@node)"


def policy(**changes: Any) -> PromotionPolicy:
    """The shipped policy with other rules of promotion."""
    tree = read_policy(REPOSITORY).model_dump()
    tree["promotion"] |= changes
    return PromotionPolicy.model_validate(tree)


def gate(decision: str = "passed", opponent: str = "1") -> dict[str, Any]:
    reasons = [{"name": "reward", "passed": decision == "passed", "said": "0.1"}]
    return {"decision": decision, "opponent": {"version": opponent}, "reasons": reasons}


ALL = (
    "gate_passed", "compared_with_champion", "never_served", "start_stands", "tags", "committed",
)  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "judged", "candidate", "asked", "against"),
    [
        ({}, gate(), Candidate("2", TAGS), {"automatic": True}, set()),
        ({}, gate("refused"), Candidate("2", TAGS), {}, {"gate_passed"}),
        ({}, gate("refused"), Candidate("2", TAGS), {"approve": True}, set()),
        ({"approve_sets_aside": []}, gate("refused"), Candidate("2", TAGS), {"approve": True},
         {"gate_passed"}),
        ({"conditions": ["tags"]}, gate("refused"), Candidate("2", TAGS), {}, set()),
        ({}, gate(opponent=""), Candidate("2", TAGS), {"approve": True},
         {"compared_with_champion"}),
        ({}, gate(opponent="3"), Candidate("2", TAGS, PAST), {},
         {"compared_with_champion", "never_served"}),
        ({}, gate(), Candidate("2", TAGS, PAST), {"automatic": True}, {"never_served"}),
        ({}, gate(), Candidate("2", TAGS, PAST), {"approve": True}, set()),
        ({}, gate(), Candidate("2", TAGS, start=PAST), {"automatic": True}, {"start_stands"}),
        ({}, gate(), Candidate("2", TAGS, start=PAST), {"approve": True}, set()),
        ({}, gate(), Candidate("2", TAGS | {"git.commit": ""}), {"approve": True}, {"tags"}),
        ({}, gate(), Candidate("2", TAGS | {"git.commit": "none (no commit yet)"}), {}, {"tags"}),
        ({}, gate(), Candidate("2", TAGS | {"git.commit": "abc-dirty"}), {}, set()),
        ({"conditions": ALL}, gate(), Candidate("2", TAGS | {"git.commit": "abc-dirty"}), {},
         {"committed"}),
        ({"automatic": False}, gate(), Candidate("2", TAGS), {"automatic": True}, {"automatic"}),
        ({"automatic": False}, gate(), Candidate("2", TAGS), {}, set()),
        ({"approval": "human"}, gate(), Candidate("2", TAGS), {"automatic": True}, {"approval"}),
        ({"approval": "human"}, gate(), Candidate("2", TAGS), {}, set()),
    ],
)  # fmt: skip
def test_the_decision(
    rules: dict[str, Any],
    judged: dict[str, Any],
    candidate: Candidate,
    asked: dict[str, bool],
    against: set[str],
) -> None:
    rule = policy(**rules)
    decision = decide(rule, judged, candidate, "1", **asked)
    assert {each.name for each in decision.against} == against
    assert decision.allowed is (not against)
    if against:
        with pytest.raises(PromotionRefused, match="version 2 is not promoted"):
            decision.require(rule)
    else:
        decision.require(rule)


def test_the_refusal_says_why_and_what_to_do() -> None:
    lacking = Candidate("2", TAGS | {"git.commit": "none (no commit yet)"}, PAST)
    for candidate, approve, wanted in (
        (Candidate("2", TAGS, PAST), False, "falcon promote --approve"),
        (lacking, True, r"it lacks git.commit \(no commit yet\)"),
    ):
        with pytest.raises(PromotionRefused, match=wanted):
            decide(policy(), gate(), candidate, "1", approve=approve).require(policy())


@pytest.mark.parametrize(
    ("change", "line", "wanted"),
    [
        (("automatic: true", "automatic: maybe"), "automatic", "valid boolean"),
        (("approval: none", "approved: none"), "approved", "unknown key"),
        (("    - never_served", "    - never_swerved"), "never_swerved", "conditions.2"),
        (("rollback:\n  to", "rollback:\n  mode: x\n  to"), "mode: x", "unknown key"),
        (("why_required: []", "why_required: [promote"), "tags:", "not valid YAML"),
        (("  automatic: true", "  automatic: true\n  automatic: false"), "automatic: false",
         "not valid YAML"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line_with_its_line(
    tmp_path: Path, change: tuple[str, str], line: str, wanted: str
) -> None:
    text = FILE.read_text().replace(*change)
    assert text != FILE.read_text()
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "registry.yaml").write_text(text)
    number = next(n for n, each in enumerate(text.splitlines(), 1) if each.strip().startswith(
        (line, f"- {line}")
    ))  # fmt: skip
    with pytest.raises(UserError, match=wanted) as refusal:
        read_policy(tmp_path)
    assert f"line {number}:" in str(refusal.value)
    assert "\n" not in refusal.value.message


def test_an_absent_file_and_a_missing_section_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        read_policy(tmp_path)
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "registry.yaml").write_text("tags: []\n")
    with pytest.raises(UserError, match="`promotion`: Field required"):
        read_policy(tmp_path)


def test_only_a_version_that_nothing_else_is_against_waits_for_a_person() -> None:
    rule = policy(approval="human")
    good, refused = gate(), gate("refused")
    with pytest.raises(ApprovalNeeded, match="waits for a person"):
        decide(rule, good, Candidate("2", TAGS), "1", automatic=True).require(rule)
    with pytest.raises(PromotionRefused) as caught:
        decide(rule, refused, Candidate("2", TAGS), "1", automatic=True).require(rule)
    assert not isinstance(caught.value, ApprovalNeeded)
