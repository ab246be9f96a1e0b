"""What the models that people use write here is what `transformers` would write."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from falcon import env
from falcon.config import PolicySettings
from falcon.generation.completion import Draws, Sampling
from falcon.generation.local import LocalGenerator
from falcon.policy.packaged import PACKAGED
from falcon.policy.policy import Policy
from falcon.problems import load_benchmark

ROOT = Path(__file__).parents[2]
TOKENS = 16


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
def test_greedy_ids_are_those_of_transformers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where `falcon models fetch` puts them, whatever this session has set.
    monkeypatch.setenv("FALCON_CACHE", env.defaults(ROOT)["FALCON_CACHE"])
    if name in PACKAGED and not PACKAGED[name].is_converted():
        pytest.skip(f"falcon models fetch {name}")
    policy = Policy.load(PolicySettings(model=name, dtype="float32"))
    problems = load_benchmark("humaneval", tmp_path)[:150:50]
    prompts = [policy.prompts.encode(problem) for problem in problems]
    draws = Draws(Sampling(0.0, 1.0, TOKENS, 2), 1, 0)  # two rows: the third begins later
    groups = LocalGenerator(policy).generate(prompts, draws)
    for prompt, (completion,) in zip(prompts, groups, strict=True):
        ids = list(completion.drawn)
        assert len(ids) == TOKENS or completion.end == "end"
        with torch.no_grad(), policy.bank.use(policy.bank.meta()):
            out = policy.model(input_ids=torch.tensor([[*prompt, *ids[:-1]]]))
        logits = out.logits[0, len(prompt) - 1 :]  # [n, V]
        chosen = logits.gather(1, torch.tensor(ids)[:, None])[:, 0]
        # A tie within the rounding of the sums may go either way.
        assert (logits.amax(1) - chosen).max() < 1e-3
