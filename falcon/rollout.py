"""Rollout: problems become prompts, completions, verdicts, feedback and experiences.

The same path for the rollout stage, for training and for benchmarks. A sample that the
sandbox could not judge keeps its ``sandbox_error`` and is left out of rewards by whoever
uses it. Nothing is appended to a memory here; callers decide what is remembered.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from falcon.feedback import assess_group, composite, unit_test_value
from falcon.feedback.reward import Feedback
from falcon.generation.local import Completion, Sampling, generate
from falcon.memory.experience import Experience, Origin, TaskDetails
from falcon.monitor import Monitor, SilentMonitor
from falcon.prompts import encode as prompts
from falcon.sandbox import Program
from falcon.sandbox.verdict import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from falcon.config import Settings
    from falcon.feedback import Judge
    from falcon.memory import LongTermMemory
    from falcon.policy.adapter import Pairs
    from falcon.policy.policy import Policy
    from falcon.problems.problem import Problem
    from falcon.sandbox import Sandbox

Phase = Literal["train", "eval"]


@dataclass(frozen=True)
class Attempt:
    """One completion for a problem with everything that came of it.

    ``program_start`` is the completion's character at which the program begins (see
    :class:`falcon.prompts.extraction.Extraction`); ``reward`` is the composite R(W, F);
    ``prompt_version`` names the form it was asked in.
    """

    problem: Problem
    sample: int
    prompt_ids: tuple[int, ...]
    completion: Completion
    program: str
    program_start: int
    verdict: Verdict
    feedback: Feedback
    reward: float
    prompt_version: str = ""

    @property
    def test_reward(self) -> float:
        """T of the composite reward: eq. 7 with eq. 8 in its place or beside it."""
        return unit_test_value(self.feedback)

    @property
    def judged(self) -> bool:
        """Whether there is a verdict on the program at all (our own fault leaves none)."""
        return self.verdict.outcome is not Outcome.SANDBOX_ERROR

    def experience(self, origin: Origin) -> Experience:
        """The tuple (D, W, T, F) of this attempt."""
        return Experience(
            problem_id=self.problem.id,
            split=self.problem.split,
            task=self.problem.statement,
            asked=TaskDetails.of(self.problem),
            program=self.program,
            verdict=self.verdict,
            feedback=self.feedback,
            score=self.reward,
            origin=origin,
        )


@dataclass
class Clock:
    """Seconds spent by kind of work since it was made or last read."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, since: float) -> None:
        """Count the time since ``since`` (``time.perf_counter``) as ``kind``."""
        spent = time.perf_counter() - since
        self.seconds[kind] = self.seconds.get(kind, 0.0) + spent

    def read(self) -> dict[str, float]:
        """The seconds so far, and start anew."""
        spent = {f"time/{kind}": value for kind, value in sorted(self.seconds.items())}
        self.seconds.clear()
        return spent


class Examiner:
    """Sandbox and judge together: what is needed to judge completions of prompts of ``form``."""

    def __init__(
        self, settings: Settings, sandbox: Sandbox, judge: Judge, form: prompts.Form
    ) -> None:
        self.settings = settings
        self.sandbox = sandbox
        self.judge = judge
        self.form = form
        self.clock = Clock()

    def examine(
        self,
        problems: Sequence[Problem],
        prompt_ids: Sequence[tuple[int, ...]],
        completions: Sequence[Sequence[Completion]],
        error_share: Mapping[str, float],
        monitor: Monitor,
    ) -> list[list[Attempt]]:
        """Run completions in the sandbox and assess them, a problem's samples together."""
        cut = [
            [self.form.extract(c.text, p) for c in row]
            for p, row in zip(problems, completions, strict=True)
        ]
        flat = [
            Program(e.program, p.tests) for p, row in zip(problems, cut, strict=True) for e in row
        ]
        since = time.perf_counter()
        with monitor.progress("execute", len(flat)) as bar:
            seen = [0]

            def show(done: int) -> None:
                rate = done / (time.perf_counter() - since + 1e-9)
                bar.advance(done - seen[0], programs_per_s=rate)
                seen[0] = done

            verdicts = iter(self.sandbox.judge_all(flat, progress=show))
        self.clock.add("execute", since)
        since = time.perf_counter()
        self.judge.prepare(
            [
                (e.program, p.solutions[0] if p.solutions else "")
                for p, row in zip(problems, cut, strict=True)
                for e in row
            ]
        )
        found = []
        for problem, ids, row, extractions in zip(
            problems, prompt_ids, completions, cut, strict=True
        ):
            judged = [next(verdicts) for _ in row]
            feedback = assess_group(
                [e.program for e in extractions],
                judged,
                settings=self.settings.feedback,
                judge=self.judge,
                error_share=error_share,
                references=problem.solutions,
                examples=problem.examples,
            )
            found.append(
                [
                    Attempt(
                        problem, i, ids, row[i], e.program, e.start, judged[i], feedback[i],
                        composite(feedback[i], self.settings.feedback), self.form.version,
                    )
                    for i, e in enumerate(extractions)
                ]
            )  # fmt: skip
        self.clock.add("feedback", since)
        return found


class Workbench(Examiner):
    """Policy, sandbox and judge together: what is needed to attempt problems."""

    def __init__(self, settings: Settings, policy: Policy, sandbox: Sandbox, judge: Judge) -> None:
        super().__init__(settings, sandbox, judge, prompts.form_of(policy.tokenizer))
        self.policy = policy

    def prompt_ids(self, problem: Problem, recalled: str = "") -> tuple[int, ...]:
        """Token ids of the prompt for a problem, with recalled text where it fits."""
        limit = self.settings.policy.max_prompt_tokens
        return tuple(prompts.encode(self.policy.tokenizer, problem, recalled, limit))

    def recall(self, problem: Problem, memory: LongTermMemory | None, phase: Phase) -> str:
        """The text that long-term memory puts before the task (eq. 6), or "".

        Never from the problem itself, whatever the phase: its stored answer would be copied. In
        an evaluation, nothing of the same statement under another name either.
        """
        m = self.settings.memory
        if memory is None or m.into != "prompt" or not m.recalls(phase):
            return ""
        from falcon.memory import recall_text

        since = time.perf_counter()
        text = recall_text(
            memory,
            problem.statement,
            m,
            exclude={problem.id},
            unseen=phase == "eval",
            count_tokens=lambda text: len(self.policy.encode(text)),
        )
        self.clock.add("recall", since)
        return text

    def attempt(
        self,
        problems: Sequence[Problem],
        *,
        samples: int,
        sampling: Sampling,
        seed: int,
        memory: LongTermMemory | None,
        phase: Phase,
        use_adapter: bool = True,
        fast: Pairs | None = None,
        tasks: Sequence[int] = (),
        numbers: Sequence[int] = (),
        error_share: Mapping[str, float] | None = None,
        monitor: Monitor | None = None,
    ) -> list[list[Attempt]]:
        """``samples`` attempts at each problem, in order.

        ``fast`` and ``tasks`` generate under adapted weights, ``numbers`` are those of the
        problems (see :func:`falcon.generation.local.generate`). ``error_share`` is P_error of eq. 9; without
        it that of the settings is taken. Raises UserError when a task alone is
        longer than a prompt may be.
        """
        ids = [self.prompt_ids(p, self.recall(p, memory, phase)) for p in problems]
        since = time.perf_counter()
        shown = monitor or SilentMonitor()
        with shown.progress("generate", len(problems) * samples) as bar:
            spoken = [0]

            def count(rows: int) -> None:
                spoken[0] += rows
                bar.advance(0, tokens_per_s=spoken[0] / (time.perf_counter() - since + 1e-9))

            completions = generate(
                self.policy,
                ids,
                samples=samples,
                sampling=sampling,
                seed=seed,
                fast=fast,
                tasks=tasks,
                numbers=numbers,
                stops=[self.form.stops(p) for p in problems],
                use_adapter=use_adapter,
                on_tokens=count,
                on_done=lambda n: bar.advance(n),
            )
        self.clock.add("generate", since)
        share = error_share or share_of(self.settings, memory)
        return self.examine(problems, ids, completions, share, shown)


def share_of(settings: Settings, memory: LongTermMemory | None) -> dict[str, float]:
    """P_error of eq. 9: the memory's, or uniform without one and where the settings say so."""
    if memory is None or settings.memory.error_share == "uniform":
        return uniform_share()
    return memory.error_share()


def uniform_share() -> dict[str, float]:
    """P_error without a long-term memory: every type alike."""
    from falcon.feedback import ERROR_TYPES

    return dict.fromkeys(ERROR_TYPES, 1 / len(ERROR_TYPES))


def sampling_of(settings: Settings, *, stop: tuple[str, ...] = ()) -> Sampling:
    """The training-time sampling of the settings."""
    s = settings.sampling
    return Sampling(s.temperature, s.top_p, s.max_new_tokens, s.batch_size, stop)


def stops_of(policy: Policy) -> tuple[str, ...]:
    """Texts that end every answer of this policy: the closing fence of a chat. What ends an
    answer to one problem, its form says (:meth:`Workbench.attempt` asks it)."""
    return prompts.STOP if policy.backbone.chat else ()


@dataclass(frozen=True)
class RolloutResult:
    """Everything the rollout stage learnt: a row a sample, the experiences, the means."""

    frame: pd.DataFrame
    experiences: list[Experience]
    metrics: dict[str, float]


def attempt_row(attempt: Attempt) -> dict[str, object]:
    """One attempt as a flat row of a table."""
    f, v = attempt.feedback, attempt.verdict
    return {
        "problem_id": attempt.problem.id,
        "split": attempt.problem.split.value,
        "difficulty": attempt.problem.difficulty.value,
        "sample": attempt.sample,
        "program": attempt.program,
        "outcome": v.outcome.value,
        "error_type": f.error_type,
        "error_line": f.error_line,
        "n_pass": v.n_pass,
        "n_fail": v.n_fail,
        "reward": attempt.reward,
        "coarse": f.value("coarse"),
        "error": f.value("error"),
        "style": f.value("style"),
        "complexity": f.value("complexity"),
        "negative": f.value("negative"),
        "tripped": bool(f.tripwires),
        "tokens": len(attempt.completion.ids),
        "cpu_s": v.cpu_s,
    }


HACKING = {
    "padding": frozenset({"dead-code-padding"}),
    "comments": frozenset({"comment-stuffing"}),
    "copied_tests": frozenset({"visible-tests"}),
    "example_table": frozenset({"example-table"}),
}
"""Ways to please a judge or the tests without solving the task; all other signs are tampering."""


def _signs(attempt: Attempt, wanted: frozenset[str] | None) -> bool:
    """Whether an attempt shows one of the signs; None: one that is in no group."""
    found = set(attempt.feedback.tripwires)
    return bool(found - frozenset().union(*HACKING.values()) if wanted is None else found & wanted)


def outcome_metrics(attempts: Sequence[Attempt]) -> dict[str, float]:
    """Means over attempts: share of each coarse class, rewards, tripped, length. Faults apart."""
    judged = [a for a in attempts if a.judged]
    n = max(len(judged), 1)
    classes = Counter(a.verdict.outcome.coarse for a in judged)
    metrics = {
        f"verdict/{name}": classes[name] / n for name in ("pass", "failure", "runtime", "syntax")
    }
    metrics["verdict/fault"] = 1 - len(judged) / max(len(attempts), 1)
    metrics["reward/composite"] = sum(a.reward for a in judged) / n
    metrics["reward/tests"] = sum(a.test_reward for a in judged) / n
    for term in ("style", "complexity", "negative"):
        values = [v for a in judged if (v := a.feedback.value(term)) is not None]
        metrics[f"reward/{term}"] = sum(values) / max(len(values), 1)
    silent = sum(a.feedback.value("style") is None for a in judged)
    metrics["judge/fault_rate"] = silent / n
    metrics["tamper_rate"] = sum(bool(a.feedback.tripwires) for a in judged) / n
    for name, signs in (("tamper", None), *HACKING.items()):
        tripped = [a for a in judged if _signs(a, signs)]
        metrics[f"hacking/{name}"] = len(tripped) / n
    metrics["tokens/mean"] = sum(len(a.completion.ids) for a in judged) / n
    return metrics


def roll_out(
    settings: Settings, problems: Sequence[Problem], *, memory: LongTermMemory, monitor: Monitor
) -> RolloutResult:
    """What the base policy does with the training problems, before any training.

    ``rollout.problems`` of them (0: all), ``rollout.samples`` each. Raises UserError when no
    problem is of a training split.
    """
    import pandas as pd

    from falcon.errors import UserError
    from falcon.feedback import make_judge
    from falcon.policy.policy import Policy
    from falcon.problems.problem import HELD_OUT
    from falcon.sandbox import Sandbox

    pool = [p for p in problems if p.split not in HELD_OUT]
    if not pool:
        raise UserError(
            "No problem of split train or demo.", hint="Check data.sources and data.difficulties."
        )
    since = time.perf_counter()
    policy = Policy.load(settings.policy, seed=settings.seed)
    loading = time.perf_counter() - since
    limit = settings.policy.max_prompt_tokens
    pool = [p for p in pool if prompts.fits(policy.tokenizer, p, limit)]
    chosen = spread(pool, settings.rollout.problems)
    with Sandbox(settings) as sandbox:
        bench = Workbench(settings, policy, sandbox, make_judge(settings.feedback))
        bench.clock.seconds["load"] = loading
        groups = bench.attempt(
            chosen,
            samples=settings.rollout.samples,
            sampling=sampling_of(settings, stop=stops_of(policy)),
            seed=settings.seed,
            memory=memory,
            phase="train",
            use_adapter=False,
            monitor=monitor,
        )
        attempts = [a for group in groups for a in group]
        times = bench.clock.read()
    origin = Origin(stage="rollout", policy="base")
    return RolloutResult(
        frame=pd.DataFrame([attempt_row(a) for a in attempts]),
        experiences=[a.experience(origin) for a in attempts if a.judged],
        metrics=outcome_metrics(attempts) | times,
    )


def spread(problems: Sequence[Problem], limit: int) -> list[Problem]:
    """``limit`` problems evenly spread over the sequence (0: all), in order."""
    if limit <= 0 or limit >= len(problems):
        return list(problems)
    return [problems[i * len(problems) // limit] for i in range(limit)]
