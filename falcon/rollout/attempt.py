"""One attempt: a policy writes a program, the sandbox runs it, the judge assesses it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from falcon.feedback import assess_group, composite, uniform_error_share
from falcon.generation.completion import META_WEIGHTS, Draws, Weights
from falcon.monitor import Monitor, SilentMonitor
from falcon.rollout.records import Attempt, Draft, Phase
from falcon.rollout.writer import Clock, Writer
from falcon.sandbox import Program

if TYPE_CHECKING:
    from falcon.config import FeedbackSettings, Settings
    from falcon.feedback import Judge
    from falcon.generation.generator import Generator
    from falcon.memory import LongTermMemory
    from falcon.problems.problem import Problem
    from falcon.sandbox import Sandbox
    from falcon.sandbox.judging import Judging
    from falcon.sandbox.verdict import Verdict


class Examiner:
    """Sandbox and judge: what turns drafts into attempts, whoever wrote them."""

    def __init__(
        self, settings: FeedbackSettings, sandbox: Sandbox, judge: Judge, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.sandbox = sandbox
        self.judge = judge
        self.clock = clock or Clock()

    def examine(
        self, drafts: Sequence[Sequence[Draft]], error_share: Mapping[str, float], monitor: Monitor
    ) -> list[list[Attempt]]:
        """Run the drafts in the sandbox and assess them, a problem's samples together."""
        with self.sandbox.judging() as judging:
            numbers = [[judging.add(_submission(draft)) for draft in group] for group in drafts]
            return self.assess(drafts, judging, numbers, error_share, monitor)

    def assess(
        self,
        drafts: Sequence[Sequence[Draft]],
        judging: Judging,
        numbers: Sequence[Sequence[int]],
        error_share: Mapping[str, float],
        monitor: Monitor,
    ) -> list[list[Attempt]]:
        """Wait for the verdicts on drafts, handed in under these numbers, and assess all."""
        verdicts = self._wait(judging, sum(map(len, drafts)), monitor)
        since = time.perf_counter()
        flat = [draft for group in drafts for draft in group]
        references = [(d.program, next(iter(d.problem.solutions), "")) for d in flat]
        self.judge.prepare(references)  # all at once: a language model answers in batches
        attempts = [
            self._assess(group, [verdicts[number] for number in own], error_share)
            for group, own in zip(drafts, numbers, strict=True)
        ]
        self.clock.add("feedback", since)
        return attempts

    def _wait(self, judging: Judging, count: int, monitor: Monitor) -> list[Verdict]:
        since = time.perf_counter()
        with monitor.progress("execute", count) as bar:
            shown = 0

            def show(finished: int) -> None:
                nonlocal shown
                bar.advance(finished - shown)
                shown = finished

            verdicts = judging.verdicts(show)
        self.clock.add("execute", since)
        return verdicts

    def _assess(
        self, group: Sequence[Draft], verdicts: Sequence[Verdict], error_share: Mapping[str, float]
    ) -> list[Attempt]:
        """Attempts at one problem: some rewards compare a program with its group."""
        if not group:
            return []
        problem = group[0].problem
        feedback = assess_group(
            [draft.program for draft in group],
            verdicts,
            settings=self.settings,
            judge=self.judge,
            error_share=error_share,
            references=problem.solutions,
            examples=problem.examples,
        )
        return [
            Attempt(**vars(draft), verdict=v, feedback=f, reward=composite(v, f, self.settings))
            for draft, v, f in zip(group, verdicts, feedback, strict=True)
        ]


def _submission(draft: Draft) -> Program:
    return Program(draft.program, draft.problem.tests)


class Solver(Writer):
    """Generator, sandbox and judge together: all that an attempt at a problem needs."""

    def __init__(
        self, settings: Settings, generator: Generator, sandbox: Sandbox, judge: Judge
    ) -> None:
        super().__init__(generator, settings.memory)
        self.settings = settings
        self._examiner = Examiner(settings.feedback, sandbox, judge, self.clock)

    def attempt(
        self,
        problems: Sequence[Problem],
        draws: Draws,
        *,
        memory: LongTermMemory | None,
        phase: Phase,
        weights: Weights = META_WEIGHTS,
        error_share: Mapping[str, float] | None = None,
        monitor: Monitor | None = None,
    ) -> list[list[Attempt]]:
        """``draws.samples`` attempts at each problem, in order.

        ``error_share`` is P_error of eq. 9, by default that of the settings. Raises UserError
        when a task alone is longer than a prompt may be.
        """
        recall_texts = [self.recall(p, memory, phase) for p in problems]
        share = error_share or error_share_of(self.settings, memory)
        numbers: dict[tuple[int, int], int] = {}
        with self._examiner.sandbox.judging() as judging:

            def hand_in(place: int, draft: Draft) -> None:
                numbers[place, draft.sample] = judging.add(_submission(draft))

            drafts = self.write(
                problems, recall_texts, draws, weights=weights, monitor=monitor, on_draft=hand_in
            )
            in_order = [
                [numbers[place, draft.sample] for draft in group]
                for place, group in enumerate(drafts)
            ]
            return self._examiner.assess(
                drafts, judging, in_order, share, monitor or SilentMonitor()
            )


def error_share_of(settings: Settings, memory: LongTermMemory | None) -> dict[str, float]:
    """P_error of eq. 9: the memory's, or uniform without one and where the settings say so."""
    if memory is None or settings.memory.error_share == "uniform":
        return uniform_error_share()
    return memory.error_share()
