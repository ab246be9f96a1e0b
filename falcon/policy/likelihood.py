"""Log-probabilities of completions, many samples of a prompt in one row.

For a decoder-only model a group (one prompt, its completions) is packed into one row: the
prompt is read once, each completion attends to the prompt and to itself, and positions
restart after the prompt. The numbers are those of a plain forward pass of each sample; the
work is that of P + nC tokens instead of n(P + C). Models whose layers look beyond mask and
positions (sliding windows, recurrence) get one row a sample. Encoder-decoder models read each prompt
once in the encoder and have one decoder row a completion. Rows are put into micro-batches by
a budget of padded tokens, so that memory is bounded whatever the lengths.

Shapes: R rows, L tokens of the longest row, P completion tokens of all rows together, H width of
the model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from falcon.policy.nucleus import entropy, log_prob
from falcon.policy.pairs import is_stacked

if TYPE_CHECKING:
    from falcon.policy.pairs import Pairs
    from falcon.policy.policy import Policy

Pieces = tuple[tuple[int, int, int, int], ...]
"""(tag, task, start, end) of each completion within the P tokens."""


@dataclass(frozen=True)
class Group:
    """A prompt and the completions to score, for one task of the meta-batch.

    ``tags`` name the completions for the caller (any integers), in order.
    """

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    task: int
    tags: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of the packed row."""
        return len(self.prompt) + sum(len(c) for c in self.completions)


@dataclass(frozen=True)
class Scored:
    """Log-probabilities of a micro-batch, over the completion tokens one after another."""

    log_probs: torch.Tensor  # [P]
    entropy: torch.Tensor  # [P] in nats, detached
    pieces: Pieces


def _split(group: Group, budget: int) -> Iterator[Group]:
    """Cut a group into rows of at most ``budget`` tokens (at least one completion each)."""
    indices: list[int] = []
    size = len(group.prompt)
    for i, completion in enumerate(group.completions):
        if indices and size + len(completion) > budget:
            yield _part(group, indices)
            indices, size = [], len(group.prompt)  # each row reads the prompt anew
        indices.append(i)
        size += len(completion)
    if indices:
        yield _part(group, indices)


def _part(group: Group, indices: list[int]) -> Group:
    completions = tuple(group.completions[i] for i in indices)
    return Group(group.prompt, completions, group.task, tuple(group.tags[i] for i in indices))


def _singly(group: Group) -> list[Group]:
    return [_part(group, [i]) for i in range(len(group.completions))]


def micro_batches(
    groups: Sequence[Group], budget: int, *, packed: bool = True
) -> list[list[Group]]:
    """Rows sorted by length, longest first, in batches of at most ``budget`` padded tokens.

    The longest batch comes first, so that a step that does not fit fails at once.
    """
    rows: list[Group] = []
    for group in groups:
        rows += _split(group, budget) if packed else _singly(group)
    rows.sort(key=lambda row: -row.length)
    batches: list[list[Group]] = []
    for row in rows:
        # The first row is the longest of its batch, so all are padded to its length.
        if batches and (len(batches[-1]) + 1) * batches[-1][0].length <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def score(
    policy: Policy,
    rows: Sequence[Group],
    pairs: Pairs | None,
    *,
    temperature: float,
    top_p: float,
    plain: Collection[int] = (),
) -> Scored:
    """Log-probabilities of a micro-batch under ``pairs`` (meta, or stacked fast weights).

    ``plain`` names the tags to score at temperature 1 without a nucleus: text that the policy
    did not draw. Entropy is at ``temperature`` throughout.
    """
    head = policy.head
    made = _forward(policy, rows, pairs, head.at if head.is_last is False else head.before)
    if head.is_last is None and made.states is not None and len(made.states):
        head.is_last = head.makes(made.states, made.logits)
    if made.states is not None and not head.is_last:
        made = _forward(policy, rows, pairs, head.at)
    flags = [tag in plain for tag, _, start, end in made.pieces for _ in range(start, end)]
    plain_tokens = torch.tensor(flags, dtype=torch.bool, device=made.logits.device)  # [P]
    if made.states is not None:
        values = head.score(made.states, made.tokens, temperature, top_p, plain_tokens)
        return Scored(*values, made.pieces)
    log_probs = log_prob(made.logits, made.tokens, temperature, top_p, plain_tokens)
    return Scored(log_probs, entropy(made.logits.detach(), temperature), made.pieces)


Seeing = Callable[[list[int]], AbstractContextManager[list[torch.Tensor] | None]]


@dataclass(frozen=True)
class _Pass:
    """Logits of the completion tokens; or of the first of them alone, and the states of all."""

    logits: torch.Tensor  # [P, V] or [1, V]
    states: torch.Tensor | None  # [P, H]
    tokens: torch.Tensor  # [P]
    pieces: Pieces


def _forward(policy: Policy, rows: Sequence[Group], pairs: Pairs | None, seeing: Seeing) -> _Pass:
    """A pass in which the head sees the completion tokens as ``seeing`` says."""
    forward = _forward_seq2seq if policy.kind == "seq2seq" else _forward_packed
    with policy.training_pass():
        return forward(policy, rows, pairs, seeing)


def _row_task(policy: Policy, rows: Sequence[Group], pairs: Pairs | None) -> torch.Tensor | None:
    if pairs is None or not is_stacked(pairs):
        return None
    return torch.tensor([row.task for row in rows], device=policy.device)


def _forward_packed(
    policy: Policy, rows: Sequence[Group], pairs: Pairs | None, seeing: Seeing
) -> _Pass:
    """A row is: prompt, completion 1, 2, ..."""
    if not policy.packs:
        rows = [single for row in rows for single in _singly(row)]
    length = max(row.length for row in rows)
    ids = torch.full((len(rows), length), policy.tokenizer.pad_token_id, dtype=torch.long)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    segment = torch.full((len(rows), length), -1, dtype=torch.long)  # -1 padding, 0 prompt
    source: list[int] = []  # where in the flattened rows the logits of each target stand
    target: list[int] = []
    pieces: list[tuple[int, int, int, int]] = []
    for r, row in enumerate(rows):
        p = len(row.prompt)
        ids[r, :p] = torch.tensor(row.prompt)
        positions[r, :p] = torch.arange(p)
        segment[r, :p] = 0
        at = p
        for k, completion in enumerate(row.completions):
            n = len(completion)
            ids[r, at : at + n] = torch.tensor(completion, dtype=torch.long)
            # As if the completion stood right behind the prompt, whatever lies between in the row.
            positions[r, at : at + n] = torch.arange(p, p + n)
            segment[r, at : at + n] = k + 1
            pieces.append((row.tags[k], row.task, len(target), len(target) + n))
            if n:
                # A token is predicted one place before it: the first by the prompt's last token
                # (not by the completion packed before), the others by their predecessors.
                source += [r * length + p - 1, *(r * length + at + t for t in range(n - 1))]
                target += completion
            at += n
    # The library makes its own mask of a plain one, with all that the model's layers want.
    mask = _segment_mask(segment, policy.compute_dtype) if policy.packs else (segment >= 0).long()
    device = policy.device
    with policy.bank.use(pairs, _row_task(policy, rows, pairs)), seeing(source) as states:
        out = policy.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            use_cache=False,
        )
    tokens = torch.tensor(target, device=device)
    return _Pass(out.logits[0], states[0] if states else None, tokens, tuple(pieces))


def _segment_mask(segment: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask [R, 1, L, L]: causal, and a completion sees the prompt and itself only."""
    rows, length = segment.shape
    same = segment.unsqueeze(2) == segment.unsqueeze(1)  # [R, L, L]: query and key of one segment
    prompt = (segment == 0).unsqueeze(1)  # [R, 1, L]: every query may see the prompt
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    # Padding sees padding, so that no query is without a key.
    allowed = (same | prompt) & causal
    mask = torch.zeros(rows, 1, length, length, dtype=dtype)
    return mask.masked_fill_(~allowed.unsqueeze(1), torch.finfo(dtype).min)


def _forward_seq2seq(
    policy: Policy, rows: Sequence[Group], pairs: Pairs | None, seeing: Seeing
) -> _Pass:
    """Each completion is a decoder row."""
    from transformers.modeling_outputs import BaseModelOutput

    ids, mask = policy.pad([row.prompt for row in rows], left=False)
    row_task = _row_task(policy, rows, pairs)
    with policy.bank.use(pairs, row_task):
        hidden = policy.model.get_encoder()(
            input_ids=ids, attention_mask=mask, return_dict=True
        ).last_hidden_state  # [R, L, H]
    flat = [(r, k) for r, row in enumerate(rows) for k in range(len(row.completions))]
    owner = torch.tensor([r for r, _ in flat], device=policy.device)  # prompt of a decoder row
    start = policy.model.config.decoder_start_token_id
    inputs = [(start, *rows[r].completions[k][:-1]) for r, k in flat]  # shifted by one
    decoder_ids, decoder_mask = policy.pad(inputs, left=False)
    index: list[int] = []
    target: list[int] = []
    pieces: list[tuple[int, int, int, int]] = []
    width = decoder_ids.shape[1]
    for row_index, (r, k) in enumerate(flat):
        completion = rows[r].completions[k]
        pieces.append((rows[r].tags[k], rows[r].task, len(target), len(target) + len(completion)))
        index += [row_index * width + t for t in range(len(completion))]
        target += completion
    fast_rows = None if row_task is None else row_task[owner]
    with policy.bank.use(pairs, fast_rows), seeing(index) as states:
        out = policy.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden[owner]),  # a copy a row
            attention_mask=mask[owner],
            decoder_input_ids=decoder_ids,
            decoder_attention_mask=decoder_mask,
            use_cache=False,
        )
    tokens = torch.tensor(target, device=policy.device)
    return _Pass(out.logits[0], states[0] if states else None, tokens, tuple(pieces))
