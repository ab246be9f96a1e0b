"""Service: a model as it answers users, from an adapter, its settings and its memory.

``falcon generate`` and the model that MLflow serves both write with :class:`Service`, so the same
task gets the same program from both. A request goes the way of a benchmark's problem
(:mod:`falcon.rollout`): what a user gets is what was measured. Nothing is learnt from a request,
and no program is run.
"""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from falcon.config import Settings
from falcon.errors import UserError
from falcon.generation.generator import policy_here
from falcon.memory.recall import recalls_in
from falcon.problems.problem import Difficulty, Problem, Split, no_tests

if TYPE_CHECKING:
    from falcon.generation.completion import Draws
    from falcon.generation.generator import Generator
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor
    from falcon.rollout import Draft

PROBLEM_ID = "user/task"
AT_ONCE = 16
"""Problems that are written together: each may have weights of its own."""


@dataclass(frozen=True)
class ModelFiles:
    """What a model is made of. No ``adapter``: the bare model; no ``memory``: nothing recalled."""

    settings: Settings
    adapter: Path | None = None
    memory: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What was recalled for a task, and the drafts written for it."""

    recall_text: str
    drafts: list[Draft]


class Service:
    """A model that writes. Use :meth:`open`, as a context manager."""

    def __init__(
        self,
        generator: Generator,
        settings: Settings,
        memory: LongTermMemory | None,
        *,
        adapted: bool,
    ) -> None:
        from falcon.rollout import Writer

        self.generator = generator
        self.settings = settings
        self._memory = memory
        self._adapted = adapted
        self._writer = Writer(generator, settings.memory)
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, files: ModelFiles, index: Path | None = None) -> Iterator[Service]:
        """Load the model, and its memory where the settings recall from it.

        With ``policy.server`` nothing is loaded, and the adapter is put on the server.

        ``index`` is the folder of the memory's index (default: beside the memory). Raises
        UserError for a model, adapter or memory that is not there or damaged.
        """
        from falcon.memory import LongTermMemory, make_encoder

        s = files.settings
        generator = _generator(files)
        adapted = files.adapter is not None
        if files.memory is None or not recalls_in(s.memory, "eval"):
            yield cls(generator, s, None, adapted=adapted)
            return
        encoder = make_encoder(s.memory.encoder)
        with LongTermMemory.open(files.memory, encoder, index=index, settings=s) as memory:
            yield cls(generator, s, memory, adapted=adapted)

    def check(self, problem: Problem) -> None:
        """Raise UserError for a task that is longer than a prompt may be."""
        prompts = self.generator.prompts
        if not prompts.fits(problem):
            raise UserError(
                "the task is too long: a prompt has at most "
                f"{self.settings.policy.max_prompt_tokens} tokens.",
                hint="Say it in fewer words.",
            )

    def write(
        self, problems: Sequence[Problem], draws: Draws, monitor: Monitor | None = None
    ) -> list[Answer]:
        """``draws.samples`` drafts for each problem, the same whatever stands beside it.

        Threads take turns: the adapter is folded into the weights while it writes.
        """
        answers: list[Answer] = []
        with self._lock:
            for first in range(0, len(problems), AT_ONCE):
                answers += self._write(problems[first : first + AT_ONCE], draws, monitor)
        return answers

    def _write(
        self, problems: Sequence[Problem], draws: Draws, monitor: Monitor | None
    ) -> list[Answer]:
        from falcon.generation.completion import Weights

        recalled = [self._writer.recall(p, self._memory, "eval") for p in problems]
        fast = None
        if self._memory is not None and self.settings.memory.into == "weights":
            from falcon.training.adapt_on_recall import adapted_weights

            policy = policy_here(self.generator)
            fast = adapted_weights(policy, self.settings, problems, self._memory, "eval", at_once=1)
        groups = self._writer.write(
            problems,
            recalled,
            replace(draws, streams=[0] * len(problems)),
            weights=Weights(fast, use_adapter=self._adapted),
            monitor=monitor,
        )
        return [Answer(text, drafts) for text, drafts in zip(recalled, groups, strict=True)]


def _generator(files: ModelFiles) -> Generator:
    s = files.settings
    if s.policy.server:
        from falcon.generation.make import connect

        server = connect(s.policy)
        server.adopt(files.adapter)
        return server
    from falcon.generation.local import LocalGenerator
    from falcon.policy.policy import Policy

    return LocalGenerator(Policy.load(s.policy, adapter=files.adapter, seed=s.seed))


def request_problem(task: str, signature: str = "", *, stdin: bool = False) -> Problem:
    """A user's task as a problem without tests.

    ``signature`` like ``def f(x: int) -> int:`` is what the answer starts with; ``stdin`` asks
    for a whole program. Raises UserError for an empty task and a malformed signature.
    """
    if not task.strip():
        raise UserError("the task is empty.", hint="Say in words what the program is to do.")
    try:
        f"{task}{signature}".encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can hold it, tokenizers refuse it
        raise UserError("the task holds characters that are no Unicode text.") from None
    starter, name = read_signature(signature) if signature else ("", "")
    if stdin and name:
        raise UserError("a program that reads standard input has no signature.")
    return Problem(
        id=PROBLEM_ID,
        source="user",
        split=Split.TRAIN,
        difficulty=Difficulty.INTRODUCTORY,
        statement=task,
        entry_point=name,
        starter=f"{starter}\n" if starter else "",
        tests=no_tests(stdin=stdin),
    )


def read_signature(signature: str) -> tuple[str, str]:
    """The signature, a line that ends in a colon, and its name. Raises UserError if it is none."""
    line = f"{signature.strip().removesuffix(':').rstrip()}:"
    try:
        statements = ast.parse(f"{line}\n    pass\n").body
    except (SyntaxError, ValueError):
        statements = []
    if len(statements) != 1 or not isinstance(statements[0], ast.FunctionDef) or "\n" in line:
        raise UserError(
            f"signature: `{signature}` is no signature.",
            hint='Write it like "def f(x: int) -> int:".',
        )
    return line, statements[0].name


def read_model_settings(file: Path) -> Settings:
    """The settings stored with a model, also by a release that had others.

    Settings that there are no longer are left out, and so is the server that wrote in its training:
    a version has its weights here. Raises UserError for anything else.
    """
    from falcon.config.settings import validated

    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UserError(f"{file}: no settings of a model ({str(fault)[:120]}).") from None
    return validated(_known(tree, Settings), {}, str(file)).changed({"policy.server": ""})


def _known(tree: dict[str, Any], section: type[BaseModel]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in tree.items():
        if (field := section.model_fields.get(key)) is not None:
            inner: Any = field.annotation
            nested = isinstance(inner, type) and issubclass(inner, BaseModel)
            known[key] = _known(value, inner) if nested and isinstance(value, dict) else value
    return known
