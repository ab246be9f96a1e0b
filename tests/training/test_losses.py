from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from falcon.config import FeedbackSettings, LossWeights, MetaSettings
from falcon.feedback.reward import Feedback
from falcon.policy.policy import Policy
from falcon.rollout import Attempt
from falcon.training.advantages import baselines
from falcon.training.batches.items import (
    LOSSES,
    Sample,
    attempt_rows,
    experience_sample,
    items_of,
    sl_sample,
)
from falcon.training.objectives import batch_loss, loss_batches, merge, weights_vector
from tests.training.setups import attempts_of, make_settings

GOOD = "def f(x):\n    return x + 1\n"
WRONG = "def f(x):\n    return x\n"
CRASH = "def f(x):\n    y = 2\n    return nope + y\n"
ROWS = [(GOOD, "pass", 0), (WRONG, "1/3", 0), (CRASH, "NameError", 3)]
ONLY_SL = {"train": {"loss": dict.fromkeys(LOSSES[1:], 0.0) | {"sl": 1.0}}}


def pieces(policy: Policy, ids: tuple[int, ...]) -> list[tuple[int, int]]:
    """Characters of each token; texts here are ASCII, so each token has its own."""
    spans, at = [], 0
    for token in ids:
        spans.append((at, at + len(policy.decode([token]))))
        at = spans[-1][1]
    return spans


def feedback_of(attempts: Sequence[Attempt]) -> list[Feedback]:
    """The feedback of those that were judged."""
    return [a.feedback for a in attempts if a.judged]


def row(rows: torch.Tensor, name: str) -> torch.Tensor:
    return rows[LOSSES.index(name)]


def test_sl_loss_is_the_mean_over_completion_tokens_of_the_library(
    policy: Policy, tiny: dict[str, Path]
) -> None:
    settings = make_settings(tiny["causal"], **ONLY_SL)
    prompt = tuple(policy.encode("Write f.\n"))
    target = sl_sample(policy, prompt, GOOD.strip())
    assert policy.decode(target.completion) == GOOD.strip() + policy.tokenizer.eos_token
    items = items_of(0, [target])
    (rows,) = loss_batches(items, settings)
    total, report = batch_loss(policy, items, rows, policy.bank.meta(), settings)
    ids = torch.tensor([target.completion])
    if policy.kind == "seq2seq":
        wanted = policy.model(input_ids=torch.tensor([prompt]), labels=ids).loss
    else:
        row_ids = torch.tensor([prompt + target.completion])
        labels = row_ids.clone()
        labels[:, : len(prompt)] = -100
        wanted = policy.model(input_ids=row_ids, labels=labels).loss
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=0)
    assert report.terms["sl"] == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert report.tokens == len(target.completion)


def test_chat_answers_end_with_the_fence_and_no_end_token(chat: Policy) -> None:
    assert chat.decode(sl_sample(chat, (1,), "x\n```").completion) == "x\n```"


def test_items_are_normalised_over_the_tasks_tokens_of_their_kind() -> None:
    sl = torch.zeros(len(LOSSES), 4)
    sl[0] = 1
    other = torch.zeros(len(LOSSES), 3)
    other[1] = 2.0
    silent = torch.zeros(len(LOSSES), 5)
    empty = torch.zeros(len(LOSSES), 0)
    items = items_of(
        3,
        [
            Sample((1,), (1, 2, 3, 4), sl),
            Sample((1,), (1, 2, 3), other),
            Sample((1,), (1,) * 5, silent),
            Sample((1,), (), empty),
        ],
    )
    assert [item.task for item in items] == [3, 3, 3]
    assert items[0].coefficients[0].sum() == pytest.approx(1.0)
    assert items[0].coefficients[1:].abs().sum() == 0
    # 3 + 5 tokens were rewarded, whatever they were given.
    torch.testing.assert_close(items[1].coefficients[1], torch.full((3,), 2.0 / 8))
    assert items[2].coefficients.abs().sum() == 0


def test_loss_is_the_weighted_sum_of_coefficients_times_log_probs(
    policy: Policy, tiny: dict[str, Path]
) -> None:
    """Every term from its definition, scored sample by sample; micro-batches change nothing."""
    weights = {"sl": 0.5, "coarse": 2.0, "error": 1.0, "complexity": 0.0, "style": 3.0}
    attempts = attempts_of(policy, ROWS)
    samples = [
        Sample(a.prompt_ids, a.completion.drawn, attempt_rows(policy, a, {})) for a in attempts
    ]
    samples.append(sl_sample(policy, (5, 6, 7), GOOD))
    items = items_of(0, samples)
    reports_by_budget = {}
    for budget in (256, 4096):
        settings = make_settings(
            tiny["causal"], train={"loss": weights, "micro_batch_tokens": budget}
        )
        reports = [
            batch_loss(policy, items, rows, policy.bank.meta(), settings)[1]
            for rows in loss_batches(items, settings)
        ]
        reports_by_budget[budget] = merge(reports)
    terms = dict.fromkeys(LOSSES, 0.0)
    for item in items:
        ids, prompt = item.completion, item.prompt
        with torch.no_grad():
            if policy.kind == "seq2seq":
                start = policy.model.config.decoder_start_token_id
                logits = policy.model(
                    input_ids=torch.tensor([prompt]),
                    decoder_input_ids=torch.tensor([(start, *ids[:-1])]),
                ).logits[0]
            else:
                logits = policy.model(input_ids=torch.tensor([prompt + ids])).logits[0]
                logits = logits[len(prompt) - 1 : -1]
        log_p = torch.log_softmax(logits, -1)[range(len(ids)), list(ids)]
        for name, values in zip(LOSSES, item.coefficients, strict=True):
            terms[name] -= float((values * log_p).sum())
    total = sum(terms[name] * weights.get(name, 1.0) for name in LOSSES)
    for report in reports_by_budget.values():
        assert report.terms == pytest.approx(terms, rel=1e-4, abs=1e-6)
        assert report.total == pytest.approx(total, rel=1e-4)
        assert report.tokens == sum(len(item.completion) for item in items)
    assert all(terms[name] != 0 for name in LOSSES)


def test_weights_follow_the_order_of_the_losses() -> None:
    values = dict(zip(LOSSES, range(6), strict=True))
    assert weights_vector(LossWeights(**values)).tolist() == [0, 1, 2, 3, 4, 5]


def test_negative_term_touches_the_error_line_only(causal: Policy) -> None:
    before = "Sure:\n"
    attempts = attempts_of(causal, ROWS, before=before)
    rows = attempt_rows(causal, attempts[2], {})
    value = attempts[2].feedback.value("negative")
    assert value == pytest.approx(-1 / 3 * 0.5)
    line = (before + CRASH).index("return nope"), len(before + CRASH.rstrip("\n"))
    negative = row(rows, "negative").tolist()
    ids = attempts[2].completion.ids
    assert len(negative) == len(ids) + 1
    for (start, end), reward in zip(pieces(causal, ids), negative, strict=False):
        if end <= line[0] - 4 or start > line[1]:
            assert reward == 0
        elif start >= line[0] and end <= line[1]:
            assert reward == pytest.approx(value)
    assert negative[-1] == 0
    coarse = row(rows, "coarse").tolist()
    assert coarse == pytest.approx([-0.6] * len(negative))
    assert row(attempt_rows(causal, attempts[0], {}), "negative").abs().sum() == 0


def test_baselines_are_subtracted_where_a_term_is_earned(causal: Policy) -> None:
    attempts = attempts_of(causal, ROWS)
    plain = attempt_rows(causal, attempts[0], {})
    less = attempt_rows(causal, attempts[0], {"coarse": 0.25, "error": 0.25, "style": 1.0})
    assert row(plain, "error").tolist() == pytest.approx([1.0] * plain.shape[1])
    assert row(less, "error").tolist() == pytest.approx([0.75] * plain.shape[1])
    # With `replace` the pass is the error term's; nothing is left to the coarse one.
    assert row(less, "coarse").abs().sum() == 0
    style = attempts[0].feedback.value("style")
    assert style is not None
    assert float(row(less, "style").min()) == pytest.approx(style - 1)
    assert torch.equal(row(less, "complexity"), row(plain, "complexity"))
    # A crash has no share of tests to subtract a baseline from.
    other = attempt_rows(causal, attempts[2], {"error": 0.5})
    assert row(other, "error").abs().sum() == 0


@pytest.mark.parametrize("adaptive", ["replace", "add"])
def test_baseline_of_the_group(causal: Policy, adaptive: str) -> None:
    settings = FeedbackSettings.model_validate({"adaptive": adaptive})
    attempts = attempts_of(causal, [*ROWS, (GOOD, "fault", 0)], settings)
    base = baselines(feedback_of(attempts), MetaSettings(baseline="group_mean"), adaptive)
    adapted = -0.3 + 1.3 / 3
    if adaptive == "replace":
        assert base["coarse"] == base["error"] == pytest.approx((1 + adapted - 0.6) / 3)
    else:
        assert base["coarse"] == pytest.approx((1 - 0.3 - 0.6) / 3)
        # The crash has no share of tests, so the mean is over the other two.
        assert base["error"] == pytest.approx((1 + adapted) / 2)
    styles = [
        r.value
        for a in attempts[:3]
        for r in a.feedback.rewards
        if r.term == "style" and r.span is not None
    ]
    assert base["style"] == pytest.approx(sum(styles) / len(styles))
    assert base["negative"] == 0


def test_no_baseline_is_zero_everywhere(causal: Policy) -> None:
    meta = MetaSettings(baseline="none", quality_baseline="none")
    assert not any(baselines(feedback_of(attempts_of(causal, ROWS)), meta, "replace").values())


def test_greedy_baseline_is_that_of_the_greedy_attempt(causal: Policy) -> None:
    attempts = attempts_of(causal, ROWS)
    meta = MetaSettings(baseline="greedy", quality_baseline="none")
    assert baselines(feedback_of(attempts), meta, "replace", feedback_of(attempts[2:3]))[
        "coarse"
    ] == pytest.approx(-0.6)
    both = attempts_of(causal, ROWS, FeedbackSettings(adaptive="add"))
    base = baselines(feedback_of(both), meta, "add", feedback_of(both[1:2]))
    assert (base["coarse"], base["error"]) == pytest.approx((-0.3, -0.3 + 1.3 / 3))
    fault = attempts_of(causal, [(GOOD, "fault", 0)])
    assert baselines(feedback_of(attempts), meta, "replace", feedback_of(fault))["coarse"] == 0


def test_group_baseline_leaves_no_reward_where_all_samples_are_alike(causal: Policy) -> None:
    attempts = attempts_of(causal, [(CRASH, "NameError", 3)] * 3)
    base = baselines(feedback_of(attempts), MetaSettings(), "replace")
    rows = attempt_rows(causal, attempts[0], base)
    for name in ("coarse", "style", "complexity"):
        assert row(rows, name).abs().max() < 1e-6
    assert row(rows, "negative").abs().max() > 0


@pytest.mark.parametrize("program", [CRASH, f"\n\n{CRASH}"])
def test_memories_earn_their_rewards_at_the_same_text(causal: Policy, program: str) -> None:
    """The stored program may begin with blank lines that the answer does not have."""
    line = 3 + program.count("\n") - CRASH.count("\n")
    (attempt,) = attempts_of(causal, [(program, "NameError", line)])
    text = f"{program.strip()}\n```"
    sample = experience_sample(causal, (1, 2), text, attempt.feedback.rewards, program)
    assert causal.decode(sample.completion) == text
    place = text.index("return nope"), text.index("\n```")
    for (start, end), value in zip(
        pieces(causal, sample.completion), row(sample.rows, "negative").tolist(), strict=True
    ):
        inside = start >= place[0] and end <= place[1]
        outside = end <= place[0] - 4 or start > place[1]
        assert not inside or value < 0
        assert not outside or value == 0


def test_a_memory_that_continues_a_starter_earns_its_rewards_behind_it(causal: Policy) -> None:
    (attempt,) = attempts_of(causal, [(CRASH, "NameError", 3)])
    lines = CRASH.splitlines(keepends=True)
    text = "".join(lines[1:]).rstrip()  # the first line is the starter's
    sample = experience_sample(causal, (1, 2), text, attempt.feedback.rewards, CRASH)
    place = text.index("return nope + y")
    earned = [
        (start, end)
        for (start, end), value in zip(
            pieces(causal, sample.completion), row(sample.rows, "negative").tolist(), strict=True
        )
        if value < 0
    ]
    assert earned
    assert all(end > place - 4 and start < len(text) for start, end in earned)
