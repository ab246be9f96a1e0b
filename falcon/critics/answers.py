"""Answers: what critics said, kept so that an equal question is never paid for twice.

JSON Lines, one answer a line, appended and flushed. A last line cut short by a crash is
dropped when the file is opened. The same file is what :class:`RecordedCritic` reads.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

from falcon.critics.critic import Question
from falcon.errors import UserError


def question_key(question: Question) -> str:
    """sha256 of both messages, in hex."""
    text = json.dumps(list(question), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_answers(path: Path) -> Iterator[tuple[str, str, str]]:
    """(key, critic, answer) of each whole line. Raises UserError naming file, line and key."""
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
                f"{path}:{number}: not an answer: a JSON object with question, critic and answer."
            ) from None
        if not all(isinstance(value, str) for value in (key, critic, answer)) or len(key) != 64:
            raise UserError(f"{path}:{number}: `question` must be 64 hex digits, the rest text.")
        yield key, critic, answer


class Answers:
    """Answers of one critic in ``path``. Safe to use from several threads of one process."""

    def __init__(self, path: Path, critic: str) -> None:
        self.path, self.critic = path, critic
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        if path.is_file():
            self._drop_torn_end()
            for key, name, answer in read_answers(path):
                if name == critic:
                    self._known[key] = answer

    def _drop_torn_end(self) -> None:
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            with self.path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)

    def find(self, question: Question) -> str | None:
        """The answer to an equal question, if there is one."""
        return self._known.get(question_key(question))

    def keep(self, question: Question, answer: str) -> None:
        """Remember an answer."""
        key = question_key(question)
        row = {"question": key, "critic": self.critic, "answer": answer}
        with self._lock:
            self._known[key] = answer
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=True) + "\n")
