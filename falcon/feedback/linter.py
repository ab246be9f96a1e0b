"""Linter: ruff's findings of many programs, asked for at once.

A batch of programs is one process of ruff, never one process a program: measured, a third of
the cost of ``ruff server``, which is asked about each in turn, and nothing to keep alive. The
programs lie in a folder of their own for that while; no settings but ours are heeded. Whatever
ruff does, asking it raises nothing: a program that it cannot be asked about has no findings at
all (None), which is not the same as none.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import NamedTuple

from falcon.feedback.rules import ISSUE_OF, SETTINGS
from falcon.feedback.syntax import MAX_CHARACTERS

TIMEOUT_S = 60.0
"""A batch that takes so long is given up, and its halves are tried."""
_AT_ONCE = 512
_MOST = 16_384
"""Programs whose findings are kept."""
_LINE = re.compile(r"^(\d+)\.py:(\d+): \[([\w-]+)\] ?(.*)$", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")
_LOOK_AWAY = re.compile(r"#[^\r\n]*(?:noqa|ruff)[^\r\n]*", re.IGNORECASE)


class LintFinding(NamedTuple):
    """An issue of :data:`falcon.feedback.rules.RULES`, what it is about, and its line from 1."""

    issue: str
    name: str
    line: int


class LinterDown(Exception):
    """There is no ruff to start."""


def _heeded(program: str) -> str:
    """The program with comments that tell ruff to look away made powerless, in place."""
    return _LOOK_AWAY.sub(lambda comment: "#".ljust(len(comment[0]), "-"), program)


def _encoded(program: str) -> bytes | None:
    """What ruff reads, or None for a text that it cannot be asked about."""
    if len(program) > MAX_CHARACTERS:
        return None
    try:
        return _heeded(program).encode()
    except UnicodeEncodeError:
        return None


class Linter:
    """Findings by program, kept. Methods may be called from any thread, one at a time runs."""

    def __init__(self, command: Sequence[str] = (), timeout_s: float = TIMEOUT_S) -> None:
        """``command`` is what starts ruff, found in this environment if empty."""
        self.timeout_s = timeout_s
        self.batches = 0
        """Processes started so far."""
        self._command = tuple(command)
        self._known: dict[str, tuple[LintFinding, ...] | None] = {}
        self._lock = threading.Lock()

    def lint(self, programs: Sequence[str]) -> list[tuple[LintFinding, ...] | None]:
        """Findings of each program in the order of its text; None where there was no answer.

        Programs that do not parse have arbitrary findings. Longer than
        :data:`falcon.feedback.syntax.MAX_CHARACTERS` or no Unicode text: None.
        """
        with self._lock:
            new = [p for p in dict.fromkeys(programs) if p not in self._known]
            if len(self._known) + len(new) > _MOST:
                self._known.clear()
                new = list(dict.fromkeys(programs))
            texts = {program: _encoded(program) for program in new}
            self._known |= dict.fromkeys(p for p, text in texts.items() if text is None)
            asked = [(program, text) for program, text in texts.items() if text is not None]
            try:
                for start in range(0, len(asked), _AT_ONCE):
                    self._learn(asked[start : start + _AT_ONCE])
            except LinterDown:
                pass  # What is not known now may be known later.
            return [self._known.get(program) for program in programs]

    def _learn(self, programs: Sequence[tuple[str, bytes]]) -> None:
        """Ask about all together; where that fails, about each half. Raises LinterDown."""
        found = self._ask([text for _, text in programs])
        if found is not None:
            self._known |= zip((program for program, _ in programs), found, strict=True)
        elif len(programs) == 1:
            self._known[programs[0][0]] = None
        else:
            middle = len(programs) // 2
            self._learn(programs[:middle])
            self._learn(programs[middle:])

    def _ask(self, texts: Sequence[bytes]) -> list[tuple[LintFinding, ...]] | None:
        """Findings of each text, or None if ruff failed on one. Raises LinterDown."""
        self.batches += 1
        found: list[list[LintFinding]] = [[] for _ in texts]
        try:
            with tempfile.TemporaryDirectory(prefix="falcon-lint-", dir=_room()) as folder:
                for number, text in enumerate(texts):
                    with open(f"{folder}/{number}.py", "wb") as file:
                        file.write(text)
                answer = subprocess.run(
                    [*(self._command or _ruff()), "check", *SETTINGS, "."],
                    cwd=folder,
                    capture_output=True,
                    # An environment of its own, so that no variable is heeded.
                    env={"RAYON_NUM_THREADS": "1"},
                    timeout=self.timeout_s,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            return None
        except OSError as fault:
            raise LinterDown(str(fault)) from None
        if answer.returncode not in (0, 1):
            return None
        for each in _LINE.finditer(answer.stdout.decode(errors="replace")):
            place, line, rule, message = each.groups()
            issue = ISSUE_OF.get(rule)
            if issue is not None and int(place) < len(found):
                name = _NAME.search(message)
                found[int(place)].append(LintFinding(issue, name[1] if name else "", int(line)))
        return [tuple(sorted(each, key=_in_order)) for each in found]


def _in_order(finding: LintFinding) -> tuple[int, str, str]:
    return finding.line, finding.issue, finding.name


def _room() -> str | None:
    """Where the programs lie for a moment: in memory, if there is such a place."""
    memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a folder of our own in it
    return memory if os.access(memory, os.W_OK | os.X_OK) else None


def _ruff() -> tuple[str, ...]:
    try:
        from ruff import find_ruff_bin

        return (find_ruff_bin(),)
    except (ImportError, OSError) as fault:
        raise LinterDown(str(fault)) from None


@lru_cache(maxsize=1)
def _linter_of(process: int) -> Linter:
    return Linter()


def linter() -> Linter:
    """The linter of this process; a forked child has its own, whose lock nobody holds."""
    return _linter_of(os.getpid())


def ruff_version() -> str:
    """Version of ruff; findings may change with it."""
    return version("ruff")
