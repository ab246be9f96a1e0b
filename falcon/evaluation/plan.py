"""Plan: which policy attempts which problems, cut into chunks with stable keys.

Benchmarks are read and limited here, and adapters recognised by their weights. No model is
loaded and nothing is generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.errors import UserError
from falcon.evaluation.chunks import digest
from falcon.memory.recall import recalls_in
from falcon.prompts.forms import FORMS, FewShot, Form

if TYPE_CHECKING:
    from falcon.config import Settings
    from falcon.memory import LongTermMemory
    from falcon.problems.problem import Problem
    from falcon.problems.trained_on import TrainedOn

BATCHES = 4
"""Batches of rows that a chunk fills, about: rows that end are replaced within a chunk alone, and an
interruption costs the chunk that was being made."""
BASE = "base"  # The policy that is the bare backbone: no adapter, no memory


@dataclass(frozen=True)
class Chunk:
    """A batch of problems for one policy; ``key`` is a digest of all its samples depend on."""

    policy: str
    benchmark: str
    problems: tuple[Problem, ...]
    seed: int
    key: str

    @property
    def streams(self) -> list[int]:
        """The random numbers of each problem: by its name, so not by what stands beside it."""
        return [int(digest(problem.id)[:11], 16) for problem in self.problems]  # 44 bits


@dataclass
class Benchmarks:
    """By name: the problems to score, and the ids of those that are not: ``left_out``, too long for
    a prompt; ``trained_on``, learnt from by a policy. ``form`` is that of their prompts."""

    form: Form = FORMS["chat"]
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    trained_on: dict[str, list[str]] = field(default_factory=dict)


def benchmark_names(sources: Sequence[str]) -> list[str]:
    """Short names of ``benchmark.names``: "mbpp" for "mbpp:PATH", "mine" for "jsonl:mine.jsonl";
    with the file's stem if two share one."""
    parts = [source.partition(":")[::2] for source in sources]  # (kind, path)
    plain = [Path(path).stem if kind == "jsonl" else kind for kind, path in parts]
    return [
        f"{kind}-{Path(path).stem}" if path and plain.count(name) > 1 else name
        for name, (kind, path) in zip(plain, parts, strict=True)
    ]


def load_benchmarks(
    settings: Settings, data_dir: Path, trained_on: TrainedOn | None = None
) -> Benchmarks:
    """The problems of ``benchmark.names`` that are not in ``trained_on``.

    Raises UserError for an unknown benchmark and for one of which no problem is left to score.
    """
    from falcon.policy.backbone import load_prompts
    from falcon.problems import load_benchmark
    from falcon.rollout import spread

    prompts = load_prompts(settings.policy)
    prompts = replace(prompts, form=_with_examples(prompts.form, settings))
    benchmarks = Benchmarks(prompts.form)
    sources = settings.benchmark.names
    for name, source in zip(benchmark_names(sources), sources, strict=True):
        levels = settings.benchmark.difficulties
        problems = load_benchmark(source, data_dir)
        eligible = [p for p in problems if not levels or p.difficulty in levels]
        if levels and not eligible:
            raise UserError(
                f"benchmark.difficulties: {source} has none of {', '.join(levels)}.",
                hint=f"It has: {', '.join(sorted({p.difficulty for p in problems}))}.",
            )
        known = [p for p in eligible if trained_on is not None and p in trained_on]
        unknown = [p for p in eligible if trained_on is None or p not in trained_on]
        if known and not unknown:
            raise UserError(
                f"benchmark.names: the policies were trained on every problem of {source}.",
                hint="Score another benchmark, or start from the base model.",
            )
        benchmarks.trained_on[name] = [p.id for p in known]
        chosen = spread(unknown, settings.benchmark.limit)
        fitting = [p for p in chosen if prompts.fits(p)]
        if not fitting:
            raise UserError(
                f"benchmark.names: no problem of {source} fits into a prompt.",
                hint="Raise policy.max_prompt_tokens.",
            )
        benchmarks.problems[name] = fitting
        kept = {p.id for p in fitting}
        benchmarks.left_out[name] = [p.id for p in chosen if p.id not in kept]
    return benchmarks


def _with_examples(form: Form, settings: Settings) -> Form:
    """The form with its worked examples, from the first benchmark that has them."""
    from falcon.problems.sources import load_demonstrations
    from falcon.prompts.forms import SHOTS

    if not isinstance(form, FewShot):
        return form
    for source in settings.benchmark.names:
        shown = {p.id: p for p in load_demonstrations(source)}
        if all(each in shown for each in SHOTS):
            return FewShot(tuple(shown[each] for each in SHOTS))
    raise UserError(
        "policy.prompt: few-shot: no benchmark holds tasks 2, 3 and 4 of MBPP, its examples.",
        hint="Score mbpp:PATH, or choose another prompt.",
    )


def same_as(digests: Mapping[str, str]) -> dict[str, str]:
    """Policies whose weights an earlier one has -> that one. Never ``base``, which differs by its
    memory, too."""
    first: dict[str, str] = {}  # digest -> first policy that has it
    return {
        name: first[weights]
        for name, weights in digests.items()
        if name != BASE and first.setdefault(weights, name) != name
    }


def recalls(settings: Settings, policy: str, memory: LongTermMemory | None) -> bool:
    """Whether long-term memory enters the prompts, or the weights, of this policy."""
    return policy != BASE and memory is not None and recalls_in(settings.memory, "eval")


def make_plan(
    settings: Settings,
    benchmarks: Benchmarks,
    digests: Mapping[str, str],
    memory: LongTermMemory | None,
) -> list[Chunk]:
    """Chunks of some batches each, sorted by length, so that prompts of a chunk are alike long."""
    from falcon import __version__

    b = settings.benchmark
    # All that decides the samples of any chunk; the seed is in the chunk's own part of the key.
    basis = {
        "version": __version__,
        "prompt": benchmarks.form.key,
        "policy": settings.policy.model_dump(mode="json"),
        "sandbox": settings.sandbox.model_dump(mode="json"),
        "feedback": settings.feedback.model_dump(mode="json"),
        "memory": settings.memory.model_dump(mode="json"),
        "memory_digest": memory.digest() if memory is not None else "",
        "adaptation": settings.train.meta.model_dump(include={"inner_lr", "inner_steps"}),
        # Which problems are scored does not change the samples of one.
        "sampling": b.model_dump(mode="json", exclude={"names", "limit", "difficulties"}),
    }
    width = max(1, BATCHES * b.batch_size // b.samples)
    chunks = []
    for policy, adapter in digests.items():
        recalled = recalls(settings, policy, memory)
        for name, problems in benchmarks.problems.items():
            # Equal random numbers for every policy, as the comparison is paired.
            seed = int(digest([settings.seed, name])[:15], 16)  # 60 bits
            order = sorted(problems, key=lambda p: (-len(p.statement), p.id))
            for first in range(0, len(order), width):
                part = tuple(order[first : first + width])
                contents = [p.model_dump(mode="json") for p in part]
                key = digest([basis, adapter, recalled, seed, contents])
                chunks.append(Chunk(policy, name, part, seed, key))
    return chunks
