"""Samples and items: completions with the coefficient of every loss at every token.

One completion passes through four records, because four places know different things of it:

- ``Attempt`` (:mod:`falcon.rollout`): text, program, verdict, feedback. No loss yet.
- ``Sample``: token ids and advantages [J, T]. Attempts, references and experiences of long-term
  memory all become samples, so one mini-batch can mix them.
- ``Item``: a sample in the mini-batch of one task, divided by the tokens of that mini-batch.
- ``Group`` (:mod:`falcon.policy.likelihood`): items of one prompt, scored in one row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from falcon.feedback import token_offsets, token_rewards
from falcon.feedback.reward import TERMS, Reward
from falcon.policy.policy import Policy
from falcon.prompts.excerpt import Piece
from falcon.rollout import Attempt
from falcon.training.advantages import advantages

Ids = tuple[int, ...]
"""Token ids of a prompt [P] or a completion [T]."""
LOSSES = ("sl", *TERMS)
"""The J losses of the inner sum, in the order of Algorithm 1: rows of all coefficients."""


@dataclass(frozen=True)
class Sample:
    """A completion before normalisation.

    ``on_policy`` tells whether the policy sampled it: its likelihood is then that of the sampling
    distribution. References and replayed programs are scored by the plain model (eq. 2).
    """

    prompt: Ids
    completion: Ids
    rows: torch.Tensor  # [J, T], advantages; 1 for `sl`
    on_policy: bool = True


@dataclass(frozen=True)
class Item:
    """A completion of one task with its coefficients c_jt, ready to be scored."""

    task: int  # its place in the meta-batch, so which theta_i scores it
    prompt: Ids
    completion: Ids
    coefficients: torch.Tensor  # [J, T]
    on_policy: bool = True


def _term_rows(
    policy: Policy, rewards: Sequence[Reward], ids: Ids, count: int, pieces: Sequence[Piece]
) -> torch.Tensor:
    """Rewards at the tokens, [J, ``count``]; ``pieces`` say where the program's characters stand.

    ``count`` is one more than ``ids`` where an end token follows them.
    """
    offsets = token_offsets(policy.tokenizer, ids, skip_special_tokens=False)
    if count > len(ids):
        # The end token has no characters. It earns what is earned by all of the program.
        end = offsets[-1][1] if offsets else 0
        offsets = [*offsets, (end, end)]
    rows = token_rewards(rewards, offsets, pieces, whole_completion=True)
    zero = [0.0] * len(offsets)
    return torch.tensor([rows.get(name, zero) for name in LOSSES], dtype=torch.float32)  # [J, T]


def attempt_rows(policy: Policy, attempt: Attempt, baseline: Mapping[str, float]) -> torch.Tensor:
    """Advantages at the tokens of an attempt, [J, T]."""
    rewards, written = advantages(attempt.feedback.rewards, baseline), attempt.completion
    return _term_rows(policy, rewards, written.ids, len(written.drawn), attempt.pieces)


def sl_sample(policy: Policy, prompt: Ids, target: str) -> Sample:
    """The supervised sample of eq. 2: a reference as the answer the prompt asks for."""
    ids = tuple(policy.encode(target))
    if not policy.form.stop:  # else it ends with that: a closing fence
        ids = (*ids, int(policy.tokenizer.eos_token_id))
    rows = torch.zeros(len(LOSSES), len(ids))  # [J, T]
    rows[0] = 1.0
    return Sample(prompt, ids, rows, on_policy=False)


def experience_sample(
    policy: Policy, prompt: Ids, text: str, rewards: Sequence[Reward], program: str
) -> Sample:
    """An experience of long-term memory as a sample: its program as an answer, with ``rewards``.

    ``text`` is the answer: ``program``, maybe without the blank characters around it, or what
    follows the starter in it.
    """
    ids = tuple(policy.encode(text))
    start = text.find(program.strip())
    if start >= 0:
        # Spans count from the program's first character, which may be a blank that `text` lacks.
        start -= len(program) - len(program.lstrip())
    else:
        # The prompt ends with the program's first lines (the starter): it begins before `text`.
        start = -max(0, program.rfind(text.rstrip()))
    pieces = [Piece(0, start, len(program))]
    rows = _term_rows(policy, rewards, ids, len(ids), pieces)
    return Sample(prompt, ids, rows, on_policy=False)


def items_of(task: int, samples: Sequence[Sample]) -> list[Item]:
    """The mini-batch of one task, normalised: supervised and rewarded tokens each to their mean."""
    supervised = sum(len(s.completion) for s in samples if bool(s.rows[0].any()))
    rewarded = sum(len(s.completion) for s in samples if not bool(s.rows[0].any()))
    # One divisor for the whole mini-batch: by its own length, a short program would weigh more.
    scale = torch.ones(len(LOSSES), 1) / max(rewarded, 1)  # [J, 1]
    scale[0] = 1 / max(supervised, 1)
    return [
        Item(task, s.prompt, s.completion, s.rows * scale, s.on_policy)
        for s in samples
        if s.completion
    ]
