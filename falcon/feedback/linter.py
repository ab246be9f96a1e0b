"""Linter: ruff's findings on many programs at once.

One process of ruff lints a whole batch of programs, which lie in a temporary folder; only our
settings apply. (Measured: a third of the cost of ``ruff server``, which lints one program at a
time and must be kept alive.) Linting never raises: a program that ruff gave no answer on has
None as its findings, which is not the same as an empty list.
"""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import NamedTuple

from falcon.errors import LinterFault
from falcon.feedback.rules import ISSUE_OF, SETTINGS
from falcon.feedback.syntax import MAX_CHARACTERS

TIMEOUT_S = 60.0
"""Seconds after which a batch is stopped and its halves are tried."""
_BATCH = 512  # programs in one process of ruff
_MOST = 16_384  # programs whose findings are kept
_LINE = re.compile(r"^(\d+)\.py:(\d+): \[([\w-]+)\] ?(.*)$", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")
_SUPPRESSION = re.compile(r"#[^\r\n]*(?:noqa|ruff)[^\r\n]*", re.IGNORECASE)


class LintFinding(NamedTuple):
    """An issue of :data:`falcon.feedback.rules.RULES`, the name it is about, its line from 1."""

    issue: str
    name: str
    line: int


def _encoded(program: str) -> bytes | None:
    """The text that ruff gets, or None for one that it is not given."""
    if len(program) > MAX_CHARACTERS:
        return None
    # Programs must not switch rules off. Dashes of the same length keep lines as long as before.
    text = _SUPPRESSION.sub(lambda comment: "#".ljust(len(comment[0]), "-"), program)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


class Linter:
    """Findings by program, which are kept. Any thread may call; one runs at a time."""

    def __init__(self, command: Sequence[str] = (), timeout_s: float = TIMEOUT_S) -> None:
        """``command`` starts ruff; if empty, the ruff of this environment is used."""
        self.timeout_s = timeout_s
        self.batches = 0
        """Number of processes started so far."""
        self._command = tuple(command)
        self._known: dict[str, tuple[LintFinding, ...] | None] = {}
        self._lock = threading.Lock()

    def lint(self, programs: Sequence[str]) -> list[tuple[LintFinding, ...] | None]:
        """Findings on each program in the order of its lines; None if ruff gave no answer.

        Also None: a text longer than :data:`falcon.feedback.syntax.MAX_CHARACTERS` or one that is
        not valid Unicode. Programs that do not parse have arbitrary findings.
        """
        with self._lock:
            new = [p for p in dict.fromkeys(programs) if p not in self._known]
            if len(self._known) + len(new) > _MOST:
                self._known.clear()  # also what this call needs: lint it again
                new = list(dict.fromkeys(programs))
            texts = {program: _encoded(program) for program in new}
            self._known |= dict.fromkeys(p for p, text in texts.items() if text is None)
            pending = [(program, text) for program, text in texts.items() if text is not None]
            try:
                for start in range(0, len(pending), _BATCH):
                    self._lint_batch(pending[start : start + _BATCH])
            except LinterFault:
                pass  # None now, but not kept: the next call tries again
            return [self._known.get(program) for program in programs]

    def _lint_batch(self, programs: Sequence[tuple[str, bytes]]) -> None:
        """Lint all programs together; if that fails, each half. Raises LinterFault."""
        results = self._run([text for _, text in programs])
        if results is not None:
            self._known |= zip((program for program, _ in programs), results, strict=True)
        elif len(programs) == 1:
            self._known[programs[0][0]] = None  # this is the one that ruff fails on
        else:
            middle = len(programs) // 2
            self._lint_batch(programs[:middle])
            self._lint_batch(programs[middle:])

    def _run(self, texts: Sequence[bytes]) -> list[tuple[LintFinding, ...]] | None:
        """Findings on each text, or None if ruff failed on one. Raises LinterFault."""
        self.batches += 1
        findings: list[list[LintFinding]] = [[] for _ in texts]
        try:
            with tempfile.TemporaryDirectory(prefix="falcon-lint-", dir=_shm()) as folder:
                for number, text in enumerate(texts):
                    with open(f"{folder}/{number}.py", "wb") as file:
                        file.write(text)
                answer = subprocess.run(
                    [*(self._command or _ruff()), "check", *SETTINGS, "."],
                    cwd=folder,
                    capture_output=True,
                    # No other variables: some change what ruff does. One thread: others work here.
                    env={"RAYON_NUM_THREADS": "1"},
                    timeout=self.timeout_s,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            return None
        except OSError as fault:
            raise LinterFault(str(fault)) from None
        if answer.returncode not in (0, 1):  # 1: ruff has findings
            return None
        for match in _LINE.finditer(answer.stdout.decode(errors="replace")):
            file_number, line, rule, message = match.groups()
            issue = ISSUE_OF.get(rule)
            if issue is not None and int(file_number) < len(findings):
                name = _NAME.search(message)
                finding = LintFinding(issue, name[1] if name else "", int(line))
                findings[int(file_number)].append(finding)
        return [tuple(sorted(of, key=_in_order)) for of in findings]


def _in_order(finding: LintFinding) -> tuple[int, str, str]:
    return finding.line, finding.issue, finding.name


def _shm() -> str | None:
    """A folder in RAM, if there is one."""
    memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a folder of our own in it
    return memory if os.access(memory, os.W_OK | os.X_OK) else None


def _ruff() -> tuple[str, ...]:
    try:
        from ruff import find_ruff_bin

        return (find_ruff_bin(),)
    except (ImportError, OSError) as fault:
        raise LinterFault(str(fault)) from None


@lru_cache(maxsize=1)
def _linter_of(process: int) -> Linter:
    return Linter()


def linter() -> Linter:
    """The linter of this process."""
    return _linter_of(
        os.getpid()
    )  # by pid: a lock that was held at a fork stays locked in the child


def ruff_version() -> str:
    """Version of ruff; findings may change with it."""
    return version("ruff")
