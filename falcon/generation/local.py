"""The local generator: completions by a policy of this process, in lanes that work side by side.

A lane (:mod:`falcon.generation.lane`) has a batch of its own. On processor cores, lanes of one
thread each do without the waiting for each other at every small product that makes a team of
threads slow, most of all where something else runs on the machine. They are processes
(:mod:`falcon.generation.processes`), or threads where a process cannot be forked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from falcon.generation.budget import rows_that_fit
from falcon.generation.completion import META_WEIGHTS, Completion, Draws, Weights
from falcon.generation.generator import SILENT, Listener
from falcon.generation.lane import Lane, Portion
from falcon.generation.processes import Tell, in_processes
from falcon.policy.lanes import Layout, in_lanes, layout_for
from falcon.policy.pairs import Pairs, cast, is_stacked, of_tasks

if TYPE_CHECKING:
    from falcon.policy.policy import Policy
    from falcon.prompts.encode import PromptEncoder
    from falcon.prompts.forms import Form

logger = logging.getLogger("falcon.lanes")

_forks = True
"""Whether lanes of this process can be processes: until one does not begin."""


_MANY = 8
"""Samples of a prompt for each lane from which on all lanes write some: a lane that does not read
the prompt saves about as much as one sample takes."""


class LocalGenerator:
    """Writes with a policy of this process."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @property
    def prompts(self) -> PromptEncoder:
        """How problems are put to the policy."""
        return self.policy.prompts

    def ask(self, form: Form) -> None:
        """From now on problems are put to the model in this form."""
        self.policy.form = form

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        draws: Draws,
        *,
        weights: Weights = META_WEIGHTS,
        stops: Sequence[tuple[str, ...]] = (),
        listener: Listener = SILENT,
    ) -> list[list[Completion]]:
        """``draws.samples`` completions for each prompt (token ids), in order.

        ``stops`` are texts that end a completion, one tuple a prompt, in place of
        ``sampling.stop``. Raises UserError when the logits are not finite.
        """
        policy = self.policy
        tasks = weights.tasks or range(len(prompts))
        everything = [
            Portion(
                i,
                ids,
                range(draws.samples),
                stops[i] if stops else draws.sampling.stop,
                tasks[i] if weights.fast else 0,
            )
            for i, ids in enumerate(prompts)
        ]
        results = _Results(len(prompts), draws.samples, listener)
        # Also without any prompt: other processes may wait for this one to gather the weights.
        with policy.gathered(), torch.inference_mode(), active_pairs(policy, weights) as pairs:
            most = rows_that_fit(policy, prompts, draws)
            layout = layout_for(policy, min(len(prompts) * draws.samples, most))
            width = max(1, most // layout.lanes)
            work = []
            for share in shares(everything, layout.lanes):
                own, own_pairs = _own_tasks(share, pairs)
                work.append((Lane(policy, own_pairs, draws, width), own))
            if not self._in_processes(work, layout, results):
                for _ in in_lanes(layout, results.take_from, work, stop=results.stop):
                    pass
        return results.groups()

    def _in_processes(
        self, work: Sequence[tuple[Lane, list[Portion]]], layout: Layout, results: _Results
    ) -> bool:
        """Run each lane in a process of its own, where that can be done."""
        global _forks
        policy = self.policy
        if len(work) < 2 or layout.threads > 1 or not _forks:
            return False
        layer = next(m for m in policy.model.modules() if isinstance(m, torch.nn.Linear))
        given = torch.zeros(1, layer.in_features, dtype=layer.weight.dtype)

        def begin() -> None:
            torch.set_num_threads(1)  # the library's team of threads is not there after a fork
            torch.nn.functional.linear(given, layer.weight)
            policy.decode([0])

        def run(item: tuple[Lane, list[Portion]], tell: Tell) -> None:
            lane, own = item
            lane.run(own, _told_by(tell), lambda: False)

        _forks = in_processes(work, begin, run, results.hear)
        if not _forks:
            logger.warning("processes do not start here: lanes are threads, which is slower")
        return _forks


def _told_by(tell: Tell) -> Listener:
    """A listener that tells another process."""
    return Listener(tell, lambda *completion: tell(completion))


class _Results:
    """Completions by prompt and sample, gathered from all lanes."""

    def __init__(self, prompts: int, samples: int, listener: Listener) -> None:
        self._all: list[list[Completion | None]] = [[None] * samples for _ in range(prompts)]
        self._listener = listener
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()

    def _tokens(self, n: int) -> None:
        with self._one_at_a_time:
            self._listener.on_tokens(n)

    def _completion(self, prompt: int, sample: int, completion: Completion) -> None:
        with self._one_at_a_time:
            self._all[prompt][sample] = completion
            self._listener.on_completion(prompt, sample, completion)

    def take_from(self, work: tuple[Lane, list[Portion]]) -> None:
        """Run a lane to its end."""
        lane, own = work
        lane.run(own, Listener(self._tokens, self._completion), self._stopped.is_set)

    def hear(self, told: Any) -> None:
        """What the lane of another process tells: a number of tokens, or a completion."""
        if isinstance(told, int):
            self._tokens(told)
        else:
            self._completion(*told)

    def stop(self) -> None:
        """Let every lane end at its next step."""
        self._stopped.set()

    def groups(self) -> list[list[Completion]]:
        """All completions, in order."""
        return [[c for c in group if c is not None] for group in self._all]


def shares(portions: Sequence[Portion], lanes: int) -> list[list[Portion]]:
    """Portions dealt out to lanes, longest prompts first, so that lanes have about equal work.

    What does not come out even is dealt out by samples, and so are prompts of many samples: some
    prompts get answers ten times as long as others, which nobody knows before.
    """
    order = sorted(portions, key=lambda r: (-len(r.ids), r.place))
    few = [r for r in order if len(r.samples) < _MANY * lanes]
    many = [r for r in order if len(r.samples) >= _MANY * lanes]
    whole = len(few) // lanes * lanes
    dealt: list[list[Portion]] = [[] for _ in range(lanes)]
    for n, portion in enumerate(few[:whole]):
        turn, lane = divmod(n, lanes)
        # There and back, or one lane would have the longer prompt of every turn.
        dealt[lane if turn % 2 == 0 else lanes - 1 - lane].append(portion)
    for together in (few[whole:], *([r] for r in many)):
        single = [(r, s) for r in together for s in r.samples]
        for lane in range(lanes):
            first, end = (len(single) * n // lanes for n in (lane, lane + 1))
            for r in together:
                if samples := [s for owner, s in single[first:end] if owner is r]:
                    dealt[lane].append(Portion(r.place, r.ids, samples, r.stop, r.task))
    return [share for share in dealt if share]


def _own_tasks(share: list[Portion], pairs: Pairs | None) -> tuple[list[Portion], Pairs | None]:
    """A share and the weights that write it: of a stack the part [M, ...] of its own tasks, which
    are numbered from 0 then."""
    if pairs is None or not is_stacked(pairs):
        return share, pairs
    used = sorted({portion.task for portion in share})
    place = {task: n for n, task in enumerate(used)}
    renumbered = [Portion(r.place, r.ids, r.samples, r.stop, place[r.task]) for r in share]
    return renumbered, of_tasks(pairs, used)


@contextmanager
def active_pairs(policy: Policy, weights: Weights) -> Iterator[Pairs | None]:
    """The adapter pairs of ``weights`` in the backbone's precision; None for the bare backbone."""
    dtype = policy.compute_dtype
    if not weights.fast and not weights.use_adapter:
        policy.pack()
        yield None
        return
    pairs = cast(weights.fast or policy.bank.meta(), dtype)
    # One adapter for all rows can be added to the frozen weights once instead of at each token.
    if not weights.fast and dtype == torch.float32:
        with policy.fold(pairs):
            yield pairs
        return
    policy.pack()
    yield policy.bank.joined(pairs)
