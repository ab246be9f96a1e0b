"""The recorded judge: scores that another judge gave before, looked up in a file."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

from falcon.errors import UserError
from falcon.feedback.judges.base import QualityScores
from falcon.feedback.style import HIGH, LOW
from falcon.feedback.syntax import MAX_CHARACTERS, parse


def code_key(program: str) -> str:
    """Key of a program in a file of recorded scores: sha256 of its UTF-8 text, in hex."""
    return hashlib.sha256(program.encode("utf-8", "surrogatepass")).hexdigest()


class RecordedJudge:
    """Scores from a JSON Lines file: ``{"sha256": ..., "style": ..., "complexity": ...}``.

    Optional keys ``style_reason`` and ``complexity_reason``; other keys are ignored.
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
                hint="Set feedback.recorded_scores to such a file, or feedback.judge: static.",
            ) from None
        self.version = hashlib.sha256(data).hexdigest()[:12]
        self._scores: dict[str, QualityScores] = {}
        for number, line in enumerate(data.split(b"\n"), start=1):
            if line.strip():
                key, scores = _record(line, f"{path}:{number}")
                if self._scores.setdefault(key, scores) != scores:
                    raise UserError(f"{path}:{number}: second, different record of {key}.")

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Nothing to do."""

    def score(self, program: str, reference: str = "") -> QualityScores:
        """The recorded scores; -1 for code that does not parse. UserError if there are none."""
        tree, fault = parse(program)
        if tree is None and len(program) <= MAX_CHARACTERS:  # a longer one may be recorded
            return QualityScores(LOW, LOW, fault, fault)
        key = code_key(program)
        scores = self._scores.get(key)
        if scores is None:
            raise UserError(
                f"{self.path}: no record of the program {key}.",
                hint="Score it and add the record, or set feedback.judge: static.",
            )
        return scores


def _record(line: bytes, where: str) -> tuple[str, QualityScores]:
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
        number = isinstance(value, (int, float)) and not isinstance(value, bool)  # True is an int
        if not number or not math.isfinite(value) or not LOW <= value <= HIGH:
            raise UserError(f"{where}: `{term}` of {key} is {value!r}, not a number in [-1, 2].")
        values.append(float(value))
    reasons = [str(row.get(f"{term}_reason", "recorded")) for term in ("style", "complexity")]
    return key, QualityScores(values[0], values[1], reasons[0], reasons[1])
