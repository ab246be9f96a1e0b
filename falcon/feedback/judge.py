"""Judges: who scores style and complexity in [-1, 2].

The static judge computes, the recorded one looks up what another judge said before, and
:mod:`falcon.feedback.critic_judge` asks a language model. All leave code that does not parse
at -1.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from falcon.config import FeedbackSettings
from falcon.errors import UserError
from falcon.feedback.analysis import facts_of
from falcon.feedback.complexity import static_complexity
from falcon.feedback.linter import Finding, linter, ruff_version
from falcon.feedback.style import HIGH, LOW, static_style
from falcon.feedback.syntax import MAX_CHARACTERS, parse


@dataclass(frozen=True, slots=True)
class Scores:
    """What a judge says of one program: two values in [-1, 2], each with its reason."""

    style: float
    complexity: float
    style_reason: str = ""
    complexity_reason: str = ""


class Judge(Protocol):
    """Anything that scores programs. Name and version are recorded with the scores."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def score(self, program: str, reference: str = "") -> Scores | None:
        """Scores of a program; ``reference`` is a known solution or "". None: the judge had no
        usable word on it, and style and complexity have no value."""
        ...

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Told which (program, reference) will be scored, so that they can be judged at once."""
        ...


class StaticJudge:
    """Deterministic: ruff's findings (:mod:`falcon.feedback.linter`), complexipy's cognitive
    complexity, and the syntax tree. None only where ruff had no answer."""

    name = "static"

    def __init__(self) -> None:
        self.version = f"3-ruff-{ruff_version()}"

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Have all of them linted at once."""
        linter().lint([text for pair in programs for text in pair if text.strip()])

    def score(self, program: str, reference: str = "") -> Scores | None:
        """Scores by :func:`static_style` and :func:`static_complexity`; never raises."""
        facts = facts_of(program)
        known = facts_of(reference) if reference.strip() else None
        findings: Sequence[Finding] | None = ()
        given: Sequence[Finding] | None = ()
        if not facts.fault:
            findings, given = linter().lint([program, reference if known else ""])
        if findings is None:
            return None
        style, style_reason = static_style(facts, findings, known, given or ())
        complexity, complexity_reason = static_complexity(facts, known)
        return Scores(style, complexity, style_reason, complexity_reason)


def code_key(program: str) -> str:
    """Key of a program in a file of recorded scores: sha256 of its UTF-8 text, in hex."""
    return hashlib.sha256(program.encode("utf-8", "surrogatepass")).hexdigest()


class RecordedJudge:
    """Scores from a JSON Lines file: ``{"sha256": ..., "style": ..., "complexity": ...}``.

    Optional keys ``style_reason`` and ``complexity_reason``; other keys are left unread.
    ``version`` is the digest of the file. Raises UserError for an absent file and for any
    malformed, out-of-range or contradictory record, naming line and key.
    """

    name = "recorded"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as fault:
            raise UserError(
                f"{path}: cannot read the recorded scores ({fault.strerror}).",
                hint="Set feedback.recorded_scores to a JSON Lines file, or feedback.judge: static.",
            ) from None
        self.version = hashlib.sha256(data).hexdigest()[:12]
        self._scores: dict[str, Scores] = {}
        for number, line in enumerate(data.split(b"\n"), start=1):
            if line.strip():
                key, scores = _record(line, f"{path}:{number}")
                if self._scores.setdefault(key, scores) != scores:
                    raise UserError(f"{path}:{number}: second, different record of {key}.")

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Nothing to do."""

    def score(self, program: str, reference: str = "") -> Scores:
        """The recorded scores; -1 for code that does not parse. UserError when not recorded."""
        tree, fault = parse(program)
        if tree is None and len(program) <= MAX_CHARACTERS:
            return Scores(LOW, LOW, fault, fault)
        key = code_key(program)
        found = self._scores.get(key)
        if found is None:
            raise UserError(
                f"{self.path}: no record of the program {key}.",
                hint="Score it and add the record, or set feedback.judge: static.",
            )
        return found


def _record(line: bytes, where: str) -> tuple[str, Scores]:
    """Key and scores of one line. Raises UserError."""
    try:
        row = json.loads(line)
    except ValueError:
        raise UserError(f"{where}: not valid JSON.") from None
    key = row.get("sha256") if isinstance(row, dict) else None
    if not isinstance(key, str) or len(key) != 64:
        raise UserError(f"{where}: `sha256` must be 64 hex digits.")
    values = []
    for term in ("style", "complexity"):
        value = row.get(term)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not LOW <= value <= HIGH:
            raise UserError(f"{where}: `{term}` of {key} is {value!r}, not a number in [-1, 2].")
        values.append(float(value))
    reasons = [str(row.get(f"{term}_reason", "recorded")) for term in ("style", "complexity")]
    return key, Scores(values[0], values[1], reasons[0], reasons[1])


def make_judge(settings: FeedbackSettings) -> Judge:
    """The judge the settings name. Raises UserError for bad recorded scores, a model that is
    absent and a key that is not set."""
    if settings.judge == "static":
        return StaticJudge()
    if settings.judge == "recorded":
        return RecordedJudge(Path(settings.recorded_scores))
    from falcon.critics import make_critic
    from falcon.feedback.critic_judge import CriticJudge
    from falcon.sandbox.cache import folder

    return CriticJudge(make_critic(settings.judge, settings.critic, folder() / "critics"))
