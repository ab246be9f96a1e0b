"""One of two processes with a split backbone. Run by a test, as a process; says what it sees."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed

from falcon.generation.completion import Draws, Sampling
from falcon.generation.local import LocalGenerator
from falcon.policy.likelihood import Group, score
from tests.models import load_tiny

PROMPTS = ([9, 20, 31, 44, 8], [50, 51], [7, 8, 9, 10])


def kept(policy: object) -> int:
    """Numbers of frozen weights that this process holds."""
    weights = policy.model.parameters()  # type: ignore[attr-defined]
    return sum((p.to_local() if hasattr(p, "to_local") else p).numel() for p in weights)


def seen(policy: object, rank: int) -> dict[str, object]:
    """Gradients of a pass, and programs for as many prompts as the process has a number."""
    bank = policy.bank  # type: ignore[attr-defined]
    for parameter in bank.parameters():
        parameter.grad = None
    scored = score(
        policy,  # type: ignore[arg-type]
        [Group((9, 20, 31), ((70, 12, 99), (15,)), 0, (0, 1))],
        bank.meta(),
        temperature=0.8,
        top_p=1.0,
    )
    scored.log_probs.sum().backward()
    made = LocalGenerator(
        policy
    ).generate(  # type: ignore[arg-type]
        PROMPTS[: rank + 1],
        Draws(Sampling(1.0, 1.0, 6 + rank, 8), 2, 3),
    )
    return {
        "log_probs": scored.log_probs.tolist(),
        "gradient": [float(p.grad.norm()) for p in bank.parameters() if p.grad is not None],
        "programs": [c.ids for group in made for c in group],
    }


def main(model: Path) -> None:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    policy = load_tiny(model)
    before, whole = seen(policy, rank), kept(policy)
    policy.shard()
    split = kept(policy)
    first, again = seen(policy, rank), seen(policy, rank)
    passes = policy.passes(3 + rank)
    print(json.dumps([before, first, again, whole, split, kept(policy), passes]), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
