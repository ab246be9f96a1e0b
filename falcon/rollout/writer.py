"""Writer: from problems to programs. Prompt, recall, generate, extract; nothing is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from falcon.generation.completion import META_WEIGHTS, Completion, Draws, Weights
from falcon.generation.generator import Generator, Listener
from falcon.memory.recall import recalls_in
from falcon.monitor import Monitor, SilentMonitor
from falcon.rollout.records import Draft, Phase

if TYPE_CHECKING:
    from falcon.config import MemorySettings
    from falcon.memory import LongTermMemory
    from falcon.problems.problem import Problem


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


class Writer:
    """What writes programs, and the rules by which it recalls."""

    def __init__(self, generator: Generator, recall_settings: MemorySettings) -> None:
        self.generator = generator
        self.recall_settings = recall_settings
        self.clock = Clock()

    def recall(self, problem: Problem, memory: LongTermMemory | None, phase: Phase) -> str:
        """The text that long-term memory puts before the task (eq. 6), or "".

        Never from the problem itself; in an evaluation, nothing of the same statement under
        another name either.
        """
        m = self.recall_settings
        if memory is None or m.into != "prompt" or not recalls_in(m, phase):
            return ""
        from falcon.memory import recall_text

        since = time.perf_counter()
        text = recall_text(
            memory,
            problem.statement,
            m,
            exclude={problem.id},  # its stored answer would be copied
            unseen=phase == "eval",
            count_tokens=self.generator.prompts.count,
        )
        self.clock.add("recall", since)
        return text

    def write(
        self,
        problems: Sequence[Problem],
        recall_texts: Sequence[str],
        draws: Draws,
        *,
        weights: Weights = META_WEIGHTS,
        monitor: Monitor | None = None,
        on_draft: Callable[[int, Draft], None] | None = None,
    ) -> list[list[Draft]]:
        """``draws.samples`` drafts for each problem, in order.

        ``recall_texts`` stand before the tasks, one a problem, where they fit. ``on_draft`` gets
        the place of the problem and the draft, as soon as it is written. Raises UserError when a
        task alone is longer than a prompt may be.
        """
        encoder = self.generator.prompts
        form = encoder.form
        prompts = [encoder.encode(p, text) for p, text in zip(problems, recall_texts, strict=True)]
        since = time.perf_counter()
        total = len(problems) * draws.samples
        with (monitor or SilentMonitor()).progress("generate", total) as bar:
            tokens = 0  # of all rows so far

            def count(rows: int) -> None:
                nonlocal tokens
                tokens += rows
                bar.advance(0, tokens_per_s=tokens / (time.perf_counter() - since + 1e-9))

            drafts: dict[tuple[int, int], Draft] = {}

            def done(place: int, sample: int, completion: Completion) -> None:
                draft = Draft.of(problems[place], sample, prompts[place], completion, form)
                drafts[place, sample] = draft
                if on_draft:
                    on_draft(place, draft)
                bar.advance(1)

            self.generator.generate(
                prompts,
                draws,
                weights=weights,
                stops=[form.stops(p) for p in problems],
                listener=Listener(count, done),
            )
        self.clock.add("generate", since)
        return [
            [drafts[place, sample] for sample in range(draws.samples)]
            for place in range(len(problems))
        ]
