"""Generate: programs for a user's task, by the model in service.

A request goes the way of a benchmark's problem (:mod:`falcon.rollout`), so that what a user gets
is what was measured. The model is shown the examples, never the tests; programs run on the tests,
or on the examples where there are no tests. Nothing is learnt from a request.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.config import Settings
from falcon.errors import UserError, without_passwords
from falcon.service import ModelFiles, Service, read_model_settings, request_problem
from falcon.suite import CodeSuite, StdinSuite, Suite
from tasks.support.files import path_md5, read_json, write_json
from tasks.support.memory import has_memory
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem
    from falcon.sandbox.verdict import Verdict
    from tasks.support.model_version import ModelVersion

CARD = "card.json"
"""Beside a kept copy of the model in service: its version and the hashes of its parts."""


@dataclass(frozen=True)
class Request:
    """What a user asks for. ``adapter`` and ``model`` take the place of the model in service."""

    task: str
    tests: Path | None = None  # a file
    signature: str = ""  # def f(x: int) -> int:
    stdin: bool = False  # a whole program that reads standard input
    adapter: Path | None = None
    model: str = ""
    server: str = ""  # the address of one that has the model
    memory: bool = True
    samples: int = 1
    max_new_tokens: int = 0  # 0: as in the settings
    examples: tuple[str, ...] = ()  # expressions that must be true, like f(2) == 4


@dataclass(frozen=True)
class Served:
    """Which model writes, and in words where it comes from."""

    files: ModelFiles
    source: str


@dataclass(frozen=True)
class GeneratedProgram:
    """One program. ``finished`` is false when the length limit cut it."""

    program: str
    finished: bool
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Generated:
    """All programs for a request, and which of them to use: the first of the best ones."""

    served: Served
    recall_text: str
    programs: tuple[GeneratedProgram, ...]
    suite: Suite | None

    @property
    def best(self) -> int:
        """Index of the program to use."""

        def rank(index: int) -> tuple[bool, int]:
            verdict = self.programs[index].verdict
            return (verdict.passed, verdict.n_pass) if verdict else (False, 0)

        return max(range(len(self.programs)), key=lambda index: (*rank(index), -index))

    def as_json(self) -> dict[str, Any]:
        """The result as plain data."""
        from falcon.sandbox.show import verdict_json

        samples = [
            {
                "program": p.program,
                "finished": p.finished,
                "verdict": verdict_json(p.verdict, self.suite)
                if p.verdict and self.suite
                else None,
            }
            for p in self.programs
        ]
        return {
            "model": self.served.files.settings.policy.model,
            "policy": self.served.source,
            "recalled": self.recall_text,
            "best": self.best,
            "samples": samples,
        }


def read_request(request: Request) -> tuple[Problem, Suite | None]:
    """The request as a Problem, and what its programs run on: tests, else examples, else nothing.

    Raises UserError for an empty task, a malformed signature, example or file of tests, and tests
    or examples that do not fit the kind of program.
    """
    signature = request.signature
    task = _with_examples(request) if signature and request.examples else request.task
    problem = request_problem(task, signature, stdin=request.stdin)
    examples = _read_examples(request)
    suite = _read_tests(request, problem.entry_point) or examples
    if isinstance(suite, StdinSuite):
        problem = request_problem(task, signature, stdin=True)
    if problem.uses_stdin and examples:
        option = "--stdin" if request.stdin else request.tests
        raise UserError(
            f"--example: examples are calls of a function, but {option} asks for a whole program.",
            hint="Write what it reads and prints into the task.",
        )
    own = {
        "entry_point": problem.entry_point or _entry_point(suite),
        "examples": "\n".join(examples.asserts) if examples else "",
        "tests": suite or problem.tests,
    }
    return problem.model_copy(update=own), suite


def _read_examples(request: Request) -> CodeSuite | None:
    for text in request.examples:
        try:
            ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError):
            raise UserError(
                f"--example: `{text}` is no expression.", hint='Write it like "f(2) == 4".'
            ) from None
    asserts = tuple(f"assert {text.strip()}" for text in request.examples)
    return CodeSuite(asserts=asserts) if asserts else None


def _with_examples(request: Request) -> str:
    """The task with its examples in the text, as in problems that have a starter."""
    head = "Example:" if len(request.examples) == 1 else "Examples:"
    lines = [f"`{_arrow(text.strip())}`" for text in request.examples]
    return "\n".join([request.task.rstrip(), "", head, *lines])


def _arrow(text: str) -> str:
    """``f(2) == 4`` as ``f(2) -> 4``; other expressions as they are."""
    match ast.parse(text, mode="eval").body:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return " -> ".join(ast.get_source_segment(text, side) or "" for side in (left, right))
    return text


def _read_tests(request: Request, name: str) -> Suite | None:
    from falcon.sandbox.python_tests import CANDIDATE
    from falcon.sandbox.suite_file import read_suite

    if request.tests is None:
        return None
    suite = read_suite(request.tests, entry_point=name)
    if request.stdin and not isinstance(suite, StdinSuite):
        raise UserError(
            f"{request.tests}: tests of functions, but --stdin asks for a whole program.",
            hint='Tests of a program are a list of {"stdin": "...", "expected": "..."}.',
        )
    if isinstance(suite, CodeSuite) and suite.check and suite.entry_point == CANDIDATE != name:
        raise UserError(
            f"{request.tests}: does not say which function check() is given.",
            hint="Give --signature, or end the file with check(NAME).",
        )
    return suite


def _entry_point(suite: Suite | None) -> str:
    """The function that the tests call, or ""."""
    from falcon.sandbox.suite_file import called

    if suite is None or isinstance(suite, StdinSuite):
        return ""
    if isinstance(suite, CodeSuite) and not suite.entry_point:
        return called(suite)
    return suite.entry_point


def choose(space: Workspace, settings: Settings, request: Request) -> Served:
    """The model for a request: the one it names, else the model in service, else the base model.

    A model in service comes with the settings and the memory it was registered with; the others
    have those of the workspace, and recall from its last training. Raises UserError when an
    adapter or the registry cannot be read.
    """
    named = request.adapter or request.model or request.server
    served = None if named else _champion(space, settings)
    served = served or _named(space, settings, request)
    changes: dict[str, Any] = {"machine": settings.machine.model_dump()}  # those of this machine
    if request.max_new_tokens:
        changes["benchmark.max_new_tokens"] = request.max_new_tokens
    files = replace(served.files, settings=served.files.settings.changed(changes))
    return replace(served, files=files if request.memory else replace(files, memory=None))


def _named(space: Workspace, settings: Settings, request: Request) -> Served:
    policy, adapter = settings.policy, request.adapter
    if request.server or policy.server:
        return _behind(settings, request)
    if adapter is not None:
        from falcon.policy.peft_files import base_of

        named = request.model or base_of(adapter) or policy.model
        policy = policy.model_copy(update={"model": named})
        source = f"{policy.model} with {adapter}"
    else:
        policy = policy.model_copy(update={"model": request.model or policy.model})
        source = f"{policy.model}, untrained"
        source += "" if request.model else ": no model is in service"
    memory = space.output("train") / "memory"
    own = settings.changed({"policy": policy.model_dump()})
    return Served(ModelFiles(own, adapter, memory if has_memory(memory) else None), source)


def _behind(settings: Settings, request: Request) -> Served:
    """A model behind a server: nothing of it is here, and nothing is recalled."""
    own = settings.changed(
        {
            "policy.server": request.server or settings.policy.server,
            "policy.model": request.model or settings.policy.model,
        }
    )
    with_adapter = f" with {request.adapter}" if request.adapter else ""
    source = f"{own.policy.model}{with_adapter} at {without_passwords(own.policy.server)}"
    return Served(ModelFiles(own, request.adapter), source)


def _champion(space: Workspace, settings: Settings) -> Served | None:
    """The model in service; a copy of its parts is kept in ``state/served``."""
    from tasks.support.mlflow_store import tracking_uri
    from tasks.support.tracking import Tracker

    uri = tracking_uri(settings, space)
    # Looking into a registry that is not there would create it.
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return None
    from tasks.support.errors import RegistryUnavailable
    from tasks.support.registry import CHAMPION, Registry

    try:
        registry = Registry(Tracker(settings, space), settings)
        version = registry.by_alias(CHAMPION)
        if version is None:
            return None
        folder = space.state / "served"
        if not _is_copy_of(folder, version):
            registry.download_model(version, folder)
            write_json(folder / CARD, {"version": version.number} | _hashes(folder))
    except RegistryUnavailable as fault:
        raise UserError(
            fault.message, hint="Start the tracker, or give --adapter FOLDER."
        ) from fault
    memory = folder / "memory"
    files = ModelFiles(
        read_model_settings(folder / "settings.json"),
        folder / "adapter",
        memory if has_memory(memory) else None,
    )
    return Served(files, f"{registry.name} version {version.number}, in service")


def _is_copy_of(folder: Path, version: ModelVersion) -> bool:
    """Whether ``folder`` holds the parts of that version, as they were fetched."""
    if not (folder / CARD).is_file():
        return False
    card = read_json(folder / CARD)
    return bool(
        card == {"version": version.number} | _hashes(folder) and card["adapter"] == version.policy
    )


def _hashes(folder: Path) -> dict[str, str]:
    parts = ("adapter", "settings.json", "memory")
    return {name: path_md5(folder / name) for name in parts if (folder / name).exists()}


def answer(space: Workspace, settings: Settings, request: Request, monitor: Monitor) -> Generated:
    """Write ``samples`` programs (one: greedily; more: drawn as in the benchmark) and judge them.

    Raises UserError for what is wrong with the request, before any model is loaded, and where
    there are tests but programs cannot run safely.
    """
    from falcon.env import search_index
    from falcon.generation.completion import Draws

    problem, suite = read_request(request)
    served = choose(space, settings, request)
    own = served.files.settings
    with Service.open(served.files, search_index(space.root)) as service:
        service.check(problem)
        draws = Draws.of(own.benchmark, request.samples, own.seed)
        (written,) = service.write([problem], draws, monitor)
    verdicts = _judge(own, [draft.program for draft in written.drafts], suite)
    programs = tuple(
        GeneratedProgram(draft.program, draft.completion.finished, verdict)
        for draft, verdict in zip(written.drafts, verdicts, strict=True)
    )
    return Generated(served, written.recall_text, programs, suite)


def _judge(settings: Settings, programs: list[str], suite: Suite | None) -> list[Verdict | None]:
    from falcon.sandbox import Program, Sandbox

    if suite is None:
        return [None] * len(programs)
    with Sandbox(settings) as sandbox:
        return [*sandbox.judge_all([Program(code, suite) for code in programs])]
