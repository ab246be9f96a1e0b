"""The judge that asks a language model: style and complexity by a rubric.

The criteria are those of CODAL-Bench for its five preferences, two marks from 1 to 5 (the levels of
CodeUltraFeedback's rubrics). An
answer that does not hold both marks is a fault of the judge, never a score: the program then
has no style and no complexity, and the share of such programs is a metric.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from falcon.critics import Critic, CriticFault
from falcon.feedback.judge import Scores
from falcon.feedback.style import HIGH, LOW
from falcon.feedback.syntax import parse

MOST = 5
RUBRIC = "rubric-1"
"""Changes with any word of the two messages below."""

_SYSTEM = (
    "You are an impartial reviewer of Python code. You judge how a program is written, not "
    "whether it is right. Be strict, and judge short programs by the same measure as long ones."
)
_TASK = """Mark the program below on two scales: 1 poor, 2 weak, 3 fair, 4 good, 5 excellent.

Style: does it do just what its task asks (instruction following); are names, layout and
comments clear to a reader (readability); does it keep to Python's conventions and idioms
(style); does it explain itself where it is not plain (explanation)?
Complexity: are algorithm, time and memory suited to the task, and is the structure as simple
as it can be (complexity and efficiency)?
{reference}
Program:
```python
{program}
```

Give one sentence of reasons, then two lines of exactly this form:
Style: <1-5>
Complexity: <1-5>"""
_MARK = r"^\W*{}\W*?[:=]\W*(\d{{1,2}})(?:\s*/\s*5)?\W*$"
_MARKS = {
    name: re.compile(_MARK.format(name), re.MULTILINE | re.IGNORECASE)
    for name in ("style", "complexity")
}


def question_of(program: str, reference: str = "") -> tuple[str, str]:
    """What a critic is asked about a program."""
    known = f"\nA known solution of the same task:\n```python\n{reference.strip()}\n```\n"
    return _SYSTEM, _TASK.format(
        program=program.strip("\n"), reference=known if reference.strip() else ""
    )


def marks_of(answer: str) -> tuple[int, int] | None:
    """Style and complexity from 1 to 5, or None when either is missing, twice, or out of range."""
    found = []
    for pattern in _MARKS.values():
        marks = {int(mark) for mark in pattern.findall(answer)}
        if len(marks) != 1 or not 1 <= min(marks) <= MOST:
            return None
        found.append(marks.pop())
    return found[0], found[1]


def scaled(mark: int) -> float:
    """A mark from 1 to 5 in the paper's range [-1, 2]: -1 + 0.75 (mark - 1)."""
    return LOW + (HIGH - LOW) * (mark - 1) / (MOST - 1)


class CriticJudge:
    """Scores by a critic; equal programs are asked about once. ``faults``: programs without a
    usable answer so far."""

    def __init__(self, critic: Critic) -> None:
        self.critic = critic
        self.name = critic.name
        self.version = f"{critic.version}-{RUBRIC}"
        self.faults = 0
        self._known: dict[tuple[str, str], Scores | None] = {}

    def prepare(self, programs: Sequence[tuple[str, str]]) -> None:
        """Ask about all programs at once."""
        self._known.clear()
        new = [each for each in dict.fromkeys(programs) if self._plain(each[0]) is None]
        answers = self.critic.ask([question_of(*each) for each in new])
        for each, answer in zip(new, answers, strict=True):
            self._known[each] = self._read(answer)

    def score(self, program: str, reference: str = "") -> Scores | None:
        """Scores, -1 for code that does not parse, None for an answer that cannot be used."""
        plain = self._plain(program)
        if plain is not None:
            return plain
        key = (program, reference)
        if key not in self._known:
            self._known[key] = self._read(self.critic.ask([question_of(*key)])[0])
        return self._known[key]

    @staticmethod
    def _plain(program: str) -> Scores | None:
        """What needs no critic: code that does not parse, or is too long to be read."""
        tree, fault = parse(program)
        return Scores(LOW, LOW, fault, fault) if tree is None else None

    def _read(self, answer: str | CriticFault) -> Scores | None:
        marks = None if isinstance(answer, CriticFault) else marks_of(answer)
        if marks is None:
            self.faults += 1
            return None
        style, complexity = marks
        return Scores(
            scaled(style), scaled(complexity), f"{style} of {MOST}", f"{complexity} of {MOST}"
        )
