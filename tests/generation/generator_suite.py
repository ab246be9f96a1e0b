"""What every generator keeps. Each check takes a subject: a generator, and the same model here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from falcon.generation.completion import Completion, Draws, Sampling, Weights
from falcon.generation.generator import Generator, Listener
from falcon.policy.likelihood import Group, score
from falcon.policy.policy import Policy

TEXTS = ("def add(a, b):\n", "Write a Python function named `total`.\n\n", "if x", "print('yes')\n")
GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=20, batch_size=8)
DRAWN = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=16, batch_size=8)
LONG = Sampling(temperature=2.0, top_p=1, max_new_tokens=100, batch_size=32)


@dataclass(frozen=True)
class Subject:
    """``weights`` of ``policy`` are what the generator writes with.

    ``ids``: it tells the ids that it drew; ``log_probs``: and their log-probabilities.
    """

    generator: Generator
    policy: Policy
    weights: Weights = field(default_factory=Weights)
    ids: bool = True
    log_probs: bool = True

    @property
    def prompts(self) -> list[list[int]]:
        return [self.policy.encode(text) for text in TEXTS]

    def write(self, draws: Draws, **more: object) -> list[list[Completion]]:
        return self.generator.generate(self.prompts, draws, weights=self.weights, **more)  # type: ignore[arg-type]

    def greedy_ids(self) -> list[list[int]]:
        """What transformers' own ``generate`` writes."""
        policy, found = self.policy, []
        pairs = policy.bank.meta() if self.weights.use_adapter else None
        with policy.bank.use(pairs):
            for prompt in self.prompts:
                out = policy.model.generate(
                    input_ids=torch.tensor([prompt]),
                    attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                    do_sample=False,
                    max_new_tokens=GREEDY.max_new_tokens,
                )[0].tolist()
                found.append(out[1:] if policy.kind == "seq2seq" else out[len(prompt) :])
        return found

    def shown(self, ids: list[int] | tuple[int, ...]) -> str:
        """The text of ids, as a generator gives it."""
        if self.ids:
            return self.policy.decode([i for i in ids if i not in self.policy.end_ids])
        return str(self.policy.tokenizer.decode(list(ids), skip_special_tokens=True))


def greedy_is_what_transformers_generates(subject: Subject) -> None:
    found = subject.write(Draws(GREEDY))
    for wanted, (completion,) in zip(subject.greedy_ids(), found, strict=True):
        assert completion.text == subject.shown(wanted)
        if subject.ids:
            assert list(completion.drawn) == wanted


def samples_are_in_order_and_as_many_as_asked(subject: Subject) -> None:
    (greedy,) = zip(*subject.write(Draws(GREEDY)), strict=True)
    assert len({c.text for c in greedy}) > 1
    for groups in (subject.write(Draws(GREEDY, 3)), subject.write(Draws(DRAWN, 3, 1))):
        assert [len(group) for group in groups] == [3] * len(TEXTS)
    assert [g[0].text for g in subject.write(Draws(GREEDY, 3))] == [c.text for c in greedy]
    assert subject.generator.generate([], Draws(GREEDY), weights=subject.weights) == []


def no_completion_is_longer_than_it_may_be(subject: Subject) -> None:
    for length in (1, 7):
        sampling = Sampling(1.0, 1.0, length, 8)
        for completion in flat(subject.write(Draws(sampling, 2, 3))):
            assert completion.tokens <= length
            assert completion.end != "length" or completion.tokens == length


def equal_seeds_give_equal_samples(subject: Subject) -> None:
    first, again, other = (subject.write(Draws(DRAWN, 3, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({c.text for c in first[0]}) > 1


def a_sample_depends_on_nothing_beside_it(subject: Subject) -> None:
    together = subject.write(Draws(DRAWN, 3, 5))
    alone = subject.generator.generate(
        subject.prompts[2:3], Draws(DRAWN, 2, 5, streams=[2]), weights=subject.weights
    )
    assert alone == [together[2][:2]]


def each_prompt_has_its_own_stops(subject: Subject) -> None:
    free = [c.text for (c,) in subject.write(Draws(GREEDY))]
    middles = [text[len(text) // 2 :][:2] for text in free]
    stops = [(middles[0],), (), ("no such text", middles[2]), ("no such text",)]
    found = [c for (c,) in subject.write(Draws(GREEDY), stops=stops)]
    for place in (0, 2):
        stopped = found[place]
        assert (stopped.end, stopped.finished, stopped.end_id) == ("stop", True, None)
        assert middles[place] in stopped.text
        assert free[place].startswith(stopped.text)
        if subject.ids:  # up to the token in which the text ends
            assert middles[place] not in subject.policy.decode(stopped.ids[:-1])
    assert [found[1].text, found[3].text] == [free[1], free[3]]
    everywhere = Sampling(0, 1, GREEDY.max_new_tokens, 8, stop=(middles[0],))
    assert subject.write(Draws(everywhere))[0][0] == found[0]
    assert [c.text for (c,) in subject.write(Draws(everywhere), stops=[()] * 4)] == free


def ends_are_told_apart(subject: Subject) -> None:
    completions = flat(subject.write(Draws(LONG, 5, 0)))
    assert {c.end for c in completions} == {"end", "length"}
    for completion in completions:
        assert completion.finished == (completion.end == "end")
        assert (completion.end_id is not None) == (completion.end == "end")
        assert not set(completion.ids) & subject.policy.end_ids
        if completion.end == "end":
            assert completion.end_id in subject.policy.end_ids
        else:
            assert completion.tokens == LONG.max_new_tokens


def the_listener_hears_of_each_completion_once(subject: Subject) -> None:
    tokens: list[int] = []
    heard: list[tuple[int, int, Completion]] = []
    listener = Listener(tokens.append, lambda i, k, c: heard.append((i, k, c)))
    groups = subject.write(Draws(DRAWN, 3, 2), listener=listener)
    places = {(i, k): c for i, group in enumerate(groups) for k, c in enumerate(group)}
    assert len(heard) == len(places)
    assert {(i, k): c for i, k, c in heard} == places
    assert sum(tokens) == sum(c.tokens + (c.end == "end") for c in flat(groups))


def log_probs_are_those_of_the_policy(subject: Subject) -> None:
    assert all(c.log_probs == () for c in flat(subject.write(Draws(DRAWN, 2, 4))))
    groups = subject.write(Draws(LONG, 2, 4, log_probs=True))
    policy = subject.policy
    for prompt, group in zip(subject.prompts, groups, strict=True):
        for completion in group:
            if not subject.log_probs:
                assert completion.log_probs == ()
                continue
            rows = [Group(tuple(prompt), (completion.drawn,), 0, (0,))]
            pairs = policy.bank.meta() if subject.weights.use_adapter else None
            with torch.no_grad():
                wanted = score(policy, rows, pairs, temperature=1.0, top_p=1.0).log_probs
            found = torch.tensor(completion.log_probs)
            torch.testing.assert_close(found, wanted, atol=2e-3, rtol=1e-3)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    greedy_is_what_transformers_generates,
    samples_are_in_order_and_as_many_as_asked,
    no_completion_is_longer_than_it_may_be,
    equal_seeds_give_equal_samples,
    a_sample_depends_on_nothing_beside_it,
    each_prompt_has_its_own_stops,
    ends_are_told_apart,
    the_listener_hears_of_each_completion_once,
    log_probs_are_those_of_the_policy,
)
every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


def flat(groups: list[list[Completion]]) -> list[Completion]:
    return [completion for group in groups for completion in group]
