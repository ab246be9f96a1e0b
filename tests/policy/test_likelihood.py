from __future__ import annotations

import pytest
import torch

from falcon.policy.likelihood import Group, micro_batches, score
from falcon.policy.nucleus import log_prob
from falcon.policy.pairs import Pairs
from falcon.policy.policy import Policy
from tests.models import of_task, own_weights

GROUPS = (
    Group((9, 20, 31, 44, 8), ((70, 12, 99), (15,), (33, 34, 35, 36, 37, 38)), 0, (10, 11, 12)),
    Group((50, 51), ((60, 61, 62, 63), (64, 65)), 1, (20, 21)),
    Group((7, 8, 9, 10, 11, 12, 13, 14), ((90,), (91, 92)), 2, (30, 31)),
)


def plain(policy: Policy, prompt: tuple[int, ...], completion: tuple[int, ...], pairs: Pairs):
    """Logits of the completion by an ordinary forward pass of one sample alone."""
    with policy.bank.use(pairs), torch.no_grad():
        if policy.kind == "seq2seq":
            start = policy.model.config.decoder_start_token_id
            out = policy.model(
                input_ids=torch.tensor([prompt]),
                decoder_input_ids=torch.tensor([(start, *completion[:-1])]),
            )
            return out.logits[0]
        out = policy.model(input_ids=torch.tensor([prompt + completion]))
        return out.logits[0, len(prompt) - 1 : -1]


def by_tag(scored, values: torch.Tensor) -> dict[int, torch.Tensor]:
    return {tag: values[start:end].detach() for tag, _, start, end in scored.pieces}


def scored_by_tag(policy: Policy, budget: int, pairs: Pairs, packed: bool = True):
    found: dict[int, torch.Tensor] = {}
    for rows in micro_batches(GROUPS, budget, packed=packed):
        scored = score(policy, rows, pairs, temperature=0.8, top_p=1.0)
        found |= by_tag(scored, scored.log_probs)
    return found


@pytest.mark.parametrize(("budget", "packed"), [(10_000, True), (16, True), (24, False)])
@pytest.mark.parametrize("stacked", [False, True])
def test_packed_log_probs_are_those_of_each_sample_alone(
    policy: Policy, budget: int, packed: bool, stacked: bool
) -> None:
    pairs = own_weights(policy, 3) if stacked else policy.bank.meta()
    found = scored_by_tag(policy, budget, pairs, packed)
    seen = []
    for group in GROUPS:
        own = of_task(pairs, group.task) if stacked else pairs
        for tag, completion in zip(group.tags, group.completions, strict=True):
            logits = plain(policy, group.prompt, completion, own)
            wanted = torch.log_softmax(logits / 0.8, -1)
            wanted = wanted.gather(-1, torch.tensor(completion).unsqueeze(-1)).squeeze(-1)
            torch.testing.assert_close(found[tag], wanted, rtol=0, atol=1e-5)
            seen.append(tag)
    assert sorted(found) == sorted(seen)


def test_each_task_reads_its_own_weights(policy: Policy) -> None:
    """The same prompt and completion under three tasks has three values, none the meta one."""
    pairs = own_weights(policy, 3)
    rows = [Group((9, 20, 31), ((70, 12),), task, (task,)) for task in range(3)]
    with torch.no_grad():
        fast = score(policy, rows, pairs, temperature=1.0, top_p=1.0).log_probs
        meta = score(policy, rows[:1], policy.bank.meta(), temperature=1.0, top_p=1.0).log_probs
    values = [*fast.reshape(3, 2)[:, 0].tolist(), float(meta[0])]
    assert len({round(v, 4) for v in values}) == 4


def test_rows_of_the_model_as_it_is_stand_beside_drawn_ones(policy: Policy) -> None:
    """One micro-batch, one prompt: a reference at temperature 1 uncut, samples at T and top-p."""
    found = score(
        policy, GROUPS[:1], policy.bank.meta(), temperature=0.7, top_p=0.8, plain={11, 12}
    )
    values, group = by_tag(found, found.log_probs), GROUPS[0]
    for tag, completion in zip(group.tags, group.completions, strict=True):
        logits = plain(policy, group.prompt, completion, policy.bank.meta())
        tokens = torch.tensor(completion)
        if tag == 10:
            wanted = log_prob(logits, tokens, 0.7, 0.8)
            assert (wanted - log_prob(logits, tokens, 1.0, 1.0)).abs().max() > 1e-3
        else:
            wanted = log_prob(logits, tokens, 1.0, 1.0)
        torch.testing.assert_close(values[tag], wanted, rtol=0, atol=1e-5)


def test_entropy_is_that_of_the_definition(policy: Policy) -> None:
    scored = score(policy, GROUPS[:1], policy.bank.meta(), temperature=0.7, top_p=0.9)
    found = by_tag(scored, scored.entropy)
    group = GROUPS[0]
    for tag, completion in zip(group.tags, group.completions, strict=True):
        p = torch.softmax(plain(policy, group.prompt, completion, policy.bank.meta()) / 0.7, -1)
        torch.testing.assert_close(found[tag], -(p * p.log()).sum(-1), rtol=0, atol=1e-5)
    assert not scored.entropy.requires_grad


def test_gradient_reaches_the_pairs_in_use(policy: Policy) -> None:
    stacked = policy.bank.stack(3)
    scored = score(policy, GROUPS[1:2], stacked, temperature=1.0, top_p=1.0)
    scored.log_probs.sum().backward()
    sizes = torch.stack([t.grad.flatten(1).norm(dim=1) for p in stacked.values() for t in p]).sum(0)
    assert sizes[1] > 0
    assert sizes[0] == sizes[2] == 0


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [1, 9, 14, 30, 1000])
def test_micro_batches_hold_everything_within_the_budget(budget: int, packed: bool) -> None:
    batches = micro_batches(GROUPS, budget, packed=packed)
    tags = [tag for rows in batches for row in rows for tag in row.tags]
    assert sorted(tags) == sorted(tag for g in GROUPS for tag in g.tags)
    wanted = {
        tag: (g.prompt, c, g.task)
        for g in GROUPS
        for tag, c in zip(g.tags, g.completions, strict=True)
    }
    for rows in batches:
        for row in rows:
            for tag, completion in zip(row.tags, row.completions, strict=True):
                assert wanted[tag] == (row.prompt, completion, row.task)
        padded = len(rows) * max(row.length for row in rows)
        # A single completion that is longer than the budget still has to be scored.
        assert padded <= budget or (len(rows) == 1 and len(rows[0].completions) == 1)
    lengths = [row.length for rows in batches for row in rows]
    assert lengths == sorted(lengths, reverse=True)


def test_an_unlimited_budget_reads_each_prompt_once() -> None:
    assert [len(rows) for rows in micro_batches(GROUPS, 10_000)] == [3]
