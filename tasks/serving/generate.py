"""Generate: programs for a user's task, by the model in service.

A request goes the way of a benchmark's problem (:mod:`falcon.rollout`), so that what a user gets
is what was measured. The model is shown the examples, never the tests; programs run on the tests,
or on the examples where there are no tests. Nothing is learnt from a request.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.config import PolicySettings, Settings
from falcon.errors import UserError
from falcon.suite import CodeSuite, StdinSuite, Suite
from tasks.support.files import path_md5, read_json
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.memory import LongTermMemory
    from falcon.monitor import Monitor
    from falcon.problems.problem import Problem
    from falcon.sandbox.verdict import Verdict

PROBLEM_ID = "user/task"


@dataclass(frozen=True)
class Request:
    """What a user asks for. ``adapter`` and ``model`` take the place of the model in service."""

    task: str
    tests: Path | None = None  # a file
    signature: str = ""  # def f(x: int) -> int:
    stdin: bool = False  # a whole program that reads standard input
    adapter: Path | None = None
    model: str = ""
    memory: bool = True
    samples: int = 1
    examples: tuple[str, ...] = ()  # expressions that must be true, like f(2) == 4


@dataclass(frozen=True)
class Served:
    """Which policy writes, and in words where it comes from."""

    settings: PolicySettings
    adapter: Path | None
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
            "model": self.served.settings.model,
            "policy": self.served.source,
            "recalled": self.recall_text,
            "best": self.best,
            "samples": samples,
        }


def signature_name(signature: str) -> tuple[str, str]:
    """The signature, a line that ends in a colon, and its name. Raises UserError if it is none."""
    line = f"{signature.strip().removesuffix(':').rstrip()}:"
    try:
        statements = ast.parse(f"{line}\n    pass\n").body
    except (SyntaxError, ValueError):
        statements = []
    if len(statements) != 1 or not isinstance(statements[0], ast.FunctionDef) or "\n" in line:
        raise UserError(
            f"--signature: `{signature}` is no signature.",
            hint='Write it like "def f(x: int) -> int:".',
        )
    return line, statements[0].name


def read_request(request: Request) -> tuple[Problem, Suite | None]:
    """The request as a Problem, and what its programs run on: tests, else examples, else nothing.

    Raises UserError for an empty task, a malformed signature, example or file of tests, and tests
    or examples that do not fit the kind of program.
    """
    from falcon.problems.problem import Difficulty, Problem, Split, no_tests

    if not request.task.strip():
        raise UserError("the task is empty.", hint='falcon generate "Return the sum of a list."')
    starter, name = signature_name(request.signature) if request.signature else ("", "")
    examples = _read_examples(request)
    suite = _read_tests(request, name) or examples
    stdin = request.stdin or isinstance(suite, StdinSuite)
    if stdin and name:
        raise UserError("a program that reads standard input has no --signature.")
    if stdin and examples:
        option = "--stdin" if request.stdin else request.tests
        raise UserError(
            f"--example: examples are calls of a function, but {option} asks for a whole program.",
            hint="Write what it reads and prints into the task.",
        )
    problem = Problem(
        id=PROBLEM_ID,
        source="user",
        split=Split.TRAIN,
        difficulty=Difficulty.INTRODUCTORY,
        statement=_with_examples(request) if starter else request.task,
        entry_point=name or _entry_point(suite),
        starter=f"{starter}\n" if starter else "",
        examples="\n".join(examples.asserts) if examples else "",
        tests=suite or no_tests(stdin=stdin),
    )
    return problem, suite


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
    if not request.examples:
        return request.task
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
    from falcon.sandbox.suite_file import CANDIDATE, read_suite

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


def adapter_settings(folder: Path, base: PolicySettings, model: str = "") -> PolicySettings:
    """``base`` with the model, rank and layers that an adapter's folder names.

    ``model`` replaces the model it names. Raises UserError when it is no LoRA adapter.
    """
    hint = "Give a folder the train stage wrote."
    card = read_json(folder / "adapter_config.json", hint=hint)
    if card.get("peft_type") != "LORA":
        raise UserError(f"{folder}: not a LoRA adapter.", hint=hint)
    layers = card.get("target_modules")
    adapter = {
        "model": model or card.get("base_model_name_or_path") or base.model,
        "lora_rank": card.get("r", base.lora_rank),
        "lora_alpha": card.get("lora_alpha", base.lora_alpha),
        "lora_targets": layers if isinstance(layers, list) else [],
    }
    return PolicySettings.model_validate(base.model_dump() | adapter)


def choose(space: Workspace, settings: Settings, request: Request) -> Served:
    """The policy for a request: the one it names, else the model in service, else the base model.

    Raises UserError when an adapter or the registry cannot be read.
    """
    base = settings.policy
    if request.adapter is not None:
        policy = adapter_settings(request.adapter, base, request.model)
        return Served(policy, request.adapter, f"{policy.model} with {request.adapter}")
    if request.model:
        policy = base.model_copy(update={"model": request.model})
        return Served(policy, None, f"{request.model}, untrained")
    champion = _champion(space, settings)
    if champion is None:
        return Served(base, None, f"{base.model}, untrained: no model is in service")
    number, folder = champion
    policy = adapter_settings(folder, base)
    name = settings.tracking.registered_model
    return Served(policy, folder, f"{name} version {number}, in service")


def _champion(space: Workspace, settings: Settings) -> tuple[str, Path] | None:
    """Version and adapter folder of the model in service; a copy is kept in ``state/served``."""
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
        folder = space.state / "served" / "adapter"
        if not folder.is_dir() or path_md5(folder) != version.policy:
            registry.download(version, folder)
    except RegistryUnavailable as fault:
        raise UserError(
            fault.message, hint="Start the tracker, or give --adapter FOLDER."
        ) from fault
    return version.number, folder


@contextmanager
def open_recall_memory(
    space: Workspace, settings: Settings, request: Request
) -> Iterator[LongTermMemory | None]:
    """The published memory, else that of the last training; None where nothing is recalled."""
    from falcon.cli.memory import search_index
    from falcon.memory import LongTermMemory, make_encoder
    from tasks.support.memory import has_memory

    m = settings.memory
    places = (space.state / "memory", space.output("train") / "memory")
    folder = next((place for place in places if has_memory(place)), None)
    if not request.memory or folder is None or not m.recalls("eval"):
        yield None
        return
    encoder, index = make_encoder(m.encoder), search_index(space.root)
    with LongTermMemory.open(folder, encoder, index=index, settings=settings) as memory:
        yield memory


def answer(space: Workspace, settings: Settings, request: Request, monitor: Monitor) -> Generated:
    """Write ``samples`` programs (one: greedily; more: drawn as in the benchmark) and judge them.

    Raises UserError for what is wrong with the request, before any model is loaded, and where
    there are tests but programs cannot run safely.
    """
    from falcon.generation.local import Draws, Weights
    from falcon.policy.policy import Policy
    from falcon.rollout import Writer
    from falcon.training.adapt_on_recall import adapted_weights

    problem, suite = read_request(request)
    served = choose(space, settings, request)
    policy = Policy.load(served.settings, adapter=served.adapter, seed=settings.seed)
    writer = Writer(policy, settings.memory)
    with open_recall_memory(space, settings, request) as memory:
        recall_text = writer.recall(problem, memory, "eval")
        fast = adapted_weights(policy, settings, [problem], memory, "eval")
    (drafts,) = writer.write(
        [problem],
        [recall_text],
        Draws.of(settings.benchmark, request.samples, settings.seed),
        weights=Weights(fast, use_adapter=served.adapter is not None),
        monitor=monitor,
    )
    verdicts = _judge(settings, [draft.program for draft in drafts], suite)
    programs = tuple(
        GeneratedProgram(draft.program, draft.completion.finished, verdict)
        for draft, verdict in zip(drafts, verdicts, strict=True)
    )
    return Generated(served, recall_text, programs, suite)


def _judge(settings: Settings, programs: list[str], suite: Suite | None) -> list[Verdict | None]:
    from falcon.sandbox import Program, Sandbox

    if suite is None:
        return [None] * len(programs)
    with Sandbox(settings) as sandbox:
        return [*sandbox.judge_all([Program(code, suite) for code in programs])]
