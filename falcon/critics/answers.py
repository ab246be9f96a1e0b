"""Answers of critics, stored so that an equal question is not paid for twice.

JSON Lines, one answer a line. A last line that a crash left incomplete is cut off when the file
is opened. :class:`RecordedCritic` reads the same file.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

from falcon.critics.critic import Question
from falcon.errors import UserError


def question_key(question: Question) -> str:
    """sha256 of both messages, in hex."""
    text = json.dumps(list(question), ensure_ascii=True)  # a list keeps the two messages apart
    return hashlib.sha256(text.encode()).hexdigest()


def read_answers(path: Path) -> Iterator[tuple[str, str, str]]:
    """(key, critic, answer) of each line. Raises UserError that names file and line."""
    try:
        text = path.read_bytes()
    except OSError as fault:
        raise UserError(
            f"{path}: cannot read the recorded answers ({fault.strerror}).",
            hint="Give the file of answers that a critic wrote.",
        ) from None
    for number, line in enumerate(text.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key, critic, answer = row["question"], row["critic"], row["answer"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}:{number}: not a JSON object with question, critic and answer."
            ) from None
        if not all(isinstance(value, str) for value in (key, critic, answer)) or len(key) != 64:
            raise UserError(f"{path}:{number}: `question` must be 64 hex digits, the rest text.")
        yield key, critic, answer


class Answers:
    """The stored answers of one critic in ``path``; several threads of a process may use them."""

    def __init__(self, path: Path, critic: str) -> None:
        self.path, self.critic = path, critic
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        if path.is_file():
            self._drop_torn_end()
            for key, name, answer in read_answers(path):
                if name == critic:  # one file may hold answers of several critics
                    self._known[key] = answer

    def _drop_torn_end(self) -> None:
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            with self.path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)  # 0 if there is no complete line

    def find(self, question: Question) -> str | None:
        """The stored answer to an equal question, or None."""
        return self._known.get(question_key(question))

    def keep(self, question: Question, answer: str) -> None:
        """Store an answer."""
        key = question_key(question)
        row = {"question": key, "critic": self.critic, "answer": answer}
        with self._lock:
            self._known[key] = answer
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=True) + "\n")
