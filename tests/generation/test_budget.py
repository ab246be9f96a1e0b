"""As many rows at a time as the memory has room for, and the same programs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from falcon.generation import budget
from falcon.generation.completion import Draws, Sampling
from falcon.generation.local import LocalGenerator
from falcon.policy.decoding import can_refill
from falcon.policy.kv_cache import KeyValues
from falcon.policy.policy import Policy

PROMPTS = [[5, 9, 31], list(range(40, 60))]


def rows_of_passes(policy: Policy, seen: list[int]) -> torch.utils.hooks.RemovableHandle:
    return policy.model.register_forward_pre_hook(
        lambda _model, _args, given: seen.append(given["input_ids"].shape[0]), with_kwargs=True
    )


def test_fewer_rows_are_written_at_a_time_where_memory_is_short(
    causal: Policy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch.set_num_threads(1)  # one lane, in this process
    draws = Draws(Sampling(1.0, 1.0, 12, 64), 8, 1)
    wanted = LocalGenerator(causal).generate(PROMPTS, draws)
    row = causal.token_bytes * 12 + 4 * causal.model.config.vocab_size
    free = (3.5 * row + 2 * 20 * causal.token_bytes) / budget.SHARE
    monkeypatch.setattr(budget, "free_bytes", lambda _device: int(free))
    seen: list[int] = []
    handle = rows_of_passes(causal, seen)
    with caplog.at_level(logging.WARNING):
        found = LocalGenerator(causal).generate(PROMPTS, draws)
    handle.remove()
    assert max(seen) == 3
    assert "memory for 3 rows at a time" in caplog.text
    assert [[c.ids for c in group] for group in found] == [[c.ids for c in g] for g in wanted]


def test_one_row_is_written_where_nothing_is_free(
    causal: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda _device: 0)
    assert budget.rows_that_fit(causal, PROMPTS, Draws(Sampling(1.0, 1.0, 12, 64), 8, 1)) == 1


def test_bytes_of_a_token_are_those_that_a_cache_keeps(causal: Policy) -> None:
    assert can_refill(causal)
    config = causal.model.config
    head = config.hidden_size // config.num_attention_heads
    wanted = 2 * config.num_hidden_layers * config.num_key_value_heads * head * 4  # float32
    assert causal.token_bytes == wanted
    assert KeyValues(1, 1, 1).token_bytes == 0


@pytest.mark.parametrize(
    ("limit", "used", "most"), [("max", "0", None), ("4000", "1000", 3000), ("4000", "9000", 0)]
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: str, most: int | None
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(budget, "_GROUP", tmp_path)
    found = budget.free_bytes(torch.device("cpu"))
    assert found > 1 << 20 if most is None else found == most
