"""Generation beside `transformers`, in one run: `python -m perf.generation [MODEL] [ROUNDS]`.

64 samples of 16 HumanEval prompts in the chat form, up to 256 tokens with real ends, at temperature
0.6 and top-p 0.95: the local generator under one adapter and under 16 stacked ones, against
`GenerationMixin.generate` as TRL calls it (one batch, padded on the left). Then 16 samples a prompt,
where rows that end are replaced, against what the bare model's forward pass decodes at 96 rows with
128 tokens of context. Tokens are those of answers, not of padding. Rounds alternate; medians. Quote
the ratios. With `--busy` another process takes half a core meanwhile.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROMPTS, SAMPLES, TOKENS, MANY, ROWS = 16, 4, 256, 16, 96
_HALF_A_CORE = """
import time
while True:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end: pass
    time.sleep(0.01)
"""


def main() -> int:
    """Print tokens a second, and ratios."""
    import torch

    from falcon import env
    from falcon.config import PolicySettings
    from falcon.generation.completion import Draws, Sampling, Weights
    from falcon.generation.local import LocalGenerator
    from falcon.policy.lanes import layout_for
    from falcon.policy.policy import Policy
    from falcon.problems import load_benchmark

    env.apply()
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    model = names[0] if names else PolicySettings().model
    rounds = int(names[1]) if len(names) > 1 else 3
    policy = Policy.load(PolicySettings(model=model))
    generator = LocalGenerator(policy)
    problems = load_benchmark("humaneval", Path("data"))
    problems = problems[:: len(problems) // PROMPTS][:PROMPTS]
    prompts = [policy.prompts.encode(problem) for problem in problems]
    stops = [policy.form.stops(problem) for problem in problems]
    ids, mask = policy.pad(prompts, left=True)  # [prompts, longest], as `generate` needs them
    stacked = Weights(policy.bank.stack(PROMPTS))

    def ours(weights: Weights, samples: int, rows: int) -> int:
        draws = Draws(Sampling(0.6, 0.95, TOKENS, rows), samples, 1)
        groups = generator.generate(prompts, draws, weights=weights, stops=stops)
        return sum(len(completion.drawn) for group in groups for completion in group)

    def theirs() -> int:
        with torch.inference_mode(), policy.bank.use(policy.bank.meta()):
            out = policy.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=0.6,
                top_p=0.95,
                top_k=0,
                num_return_sequences=SAMPLES,
                max_new_tokens=TOKENS,
                pad_token_id=policy.tokenizer.pad_token_id,
                eos_token_id=sorted(policy.end_ids),
                stop_strings=list(stops[0]),
                tokenizer=policy.tokenizer,
            )
        new = out[:, ids.shape[1] :]
        return int((new != policy.tokenizer.pad_token_id).sum())

    def bare() -> int:
        from transformers.cache_utils import DynamicCache

        cache = DynamicCache(config=policy.model.config)
        with torch.inference_mode(), policy.bank.use(None):
            given = torch.full((ROWS, 128), 7, device=policy.device)
            policy.model(input_ids=given, past_key_values=cache, use_cache=True)
            since = time.perf_counter()
            for _ in range(10):
                policy.model(input_ids=given[:, :1], past_key_values=cache, use_cache=True)
        spent.append(time.perf_counter() - since)
        return 10 * ROWS

    spent: list[float] = []  # of decoding alone, in `bare`
    works: dict[str, Callable[[], int]] = {
        "one adapter": lambda: ours(Weights(), SAMPLES, PROMPTS * SAMPLES),
        "stacked adapters": lambda: ours(stacked, SAMPLES, PROMPTS * SAMPLES),
        "generate, padded": theirs,
        "one adapter, 256 samples": lambda: ours(Weights(), MANY, ROWS),
        "stacked adapters, 256 samples": lambda: ours(stacked, MANY, ROWS),
        "bare forward, 96 rows": bare,
    }
    busy = subprocess.Popen([sys.executable, "-c", _HALF_A_CORE]) if "--busy" in sys.argv else None
    rates: dict[str, list[float]] = {name: [] for name in works}
    try:
        for _ in range(rounds):
            for name, work in works.items():
                spent.clear()
                since, before = time.perf_counter(), sum(os.times()[:4])
                tokens = work()
                wall = time.perf_counter() - since
                cores = (sum(os.times()[:4]) - before) / wall
                rates[name].append(tokens / (spent[0] if spent else wall))
                print(f"  {name}: {rates[name][-1]:.0f} tokens/s, {cores:.2f} cores", flush=True)
    finally:
        if busy:
            busy.kill()
    layout = layout_for(policy, PROMPTS * SAMPLES)
    print(
        f"{model}: {layout.lanes} lanes x {layout.threads} threads; "
        f"load {os.getloadavg()[0]:.1f}{', half a core taken' if busy else ''}"
    )
    for name, against in (
        ("one adapter", "generate, padded"),
        ("stacked adapters", "generate, padded"),
        ("one adapter, 256 samples", "bare forward, 96 rows"),
        ("stacked adapters, 256 samples", "bare forward, 96 rows"),
    ):
        ratios = [a / b for a, b in zip(rates[name], rates[against], strict=True)]
        print(
            f"{name}: {statistics.median(rates[name]):.0f} tokens/s, {against}: "
            f"{statistics.median(rates[against]):.0f}, ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
