"""The recorded critic: answers from a file, no model and no network."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from falcon.critics.answers import question_key, read_answers
from falcon.critics.critic import Question, Usage
from falcon.errors import CriticFault, UserError


class RecordedCritic:
    """Looks answers up. ``version`` names the critic that answered and the digest of the file.

    Raises UserError for an absent or malformed file, for two different answers to one question,
    and for answers of more than one critic.
    """

    name = "recorded"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.usage = Usage()
        self._answers: dict[str, str] = {}
        critics: dict[str, None] = {}  # an ordered set
        for key, critic, answer in read_answers(path):
            critics.setdefault(critic)
            if self._answers.setdefault(key, answer) != answer:
                raise UserError(f"{path}: two different answers to the question {key}.")
        if len(critics) > 1:
            raise UserError(
                f"{path}: answers of {len(critics)} critics ({', '.join(critics)}).",
                hint="Scores of different critics cannot be compared: keep one file for each.",
            )
        by = next(iter(critics), "nobody")
        self.version = f"{by}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"

    def ask(self, questions: Sequence[Question]) -> list[str | CriticFault]:
        """The recorded answers; a fault for a question that is not recorded."""
        answers: list[str | CriticFault] = []
        for question in questions:
            key = question_key(question)
            answer = self._answers.get(key)
            self.usage.reused += answer is not None
            self.usage.faults += answer is None
            fault = CriticFault(f"{self.path}: no answer to the question {key}")
            answers.append(fault if answer is None else answer)
        return answers
