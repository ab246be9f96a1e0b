"""The supervised updates before Algorithm 1: which references, which gradient, and how they resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from falcon.config import TrainSettings
from falcon.monitor import SilentMonitor
from falcon.policy.policy import Policy
from falcon.training.inner_loop import tensors
from falcon.training.methods.mrlf import Mrlf
from tests.training.setups import make_problem, make_settings, run_training

WEIGHTS = "adapter_model.safetensors"
MANY = tuple(make_problem(n) for n in range(1, 6))


def settings_of(tiny: dict[str, Path], **train: Any) -> Any:
    base = {"supervised_epochs": 2, "steps": 2, "validate_every": 0}
    return make_settings(tiny["causal"], train=base | train)


def test_every_reference_is_seen_once_an_epoch_and_the_rate_falls_over_all_updates(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    rates: list[float] = []
    update = Mrlf.supervised_update

    def watched(self: Mrlf, step: int, problems: Any) -> dict[str, float]:
        trained.extend(p.id for p in problems)
        rates.append(self.optimizer.param_groups[0]["lr"])
        return update(self, step, problems)

    monkeypatch.setattr(Mrlf, "supervised_update", watched)
    monitor = SilentMonitor()
    silent = make_problem(8, solutions=[])
    run_training(tmp_path, settings_of(tiny), problems=(*MANY[:4], silent), monitor=monitor)
    assert sorted(trained) == sorted(p.id for p in MANY[:4] * 2)
    assert len(rates) == 4  # 2 epochs of 4 references, 2 an update
    assert rates + [m["learning_rate"] for _, m in monitor.logged[4:]] == pytest.approx(
        [1e-3 * (6 - n) / 6 for n in range(6)]
    )
    losses = [m["supervised/loss"] for _, m in monitor.logged[:4]]
    assert losses[-1] < losses[0]


def test_an_update_is_one_on_the_cross_entropy_of_the_references(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Any] = {}
    update = Mrlf.supervised_update

    def watched(self: Mrlf, step: int, problems: Any) -> dict[str, float]:
        if step == 0:
            kept["before"] = [t.detach().clone() for t in tensors(self.policy.bank.meta())]
            kept["policy"], kept["problems"] = self.policy, list(problems)
        metrics = update(self, step, problems)
        if step == 0:
            kept["after"] = [t.detach().clone() for t in tensors(self.policy.bank.meta())]
            kept["loss"] = metrics["supervised/loss"]
        return metrics

    monkeypatch.setattr(Mrlf, "supervised_update", watched)
    settings = settings_of(tiny)
    run_training(tmp_path, settings, problems=MANY)
    policy: Policy = kept["policy"]
    weights = [torch.nn.Parameter(t.clone()) for t in kept["before"]]
    pairs = {n: (weights[2 * i], weights[2 * i + 1]) for i, n in enumerate(policy.bank.meta())}
    losses = []
    for problem in kept["problems"]:
        prompt = policy.prompts.encode(problem)
        target = policy.encode(policy.form.target(problem, problem.solutions[0]))
        ids = torch.tensor([[*prompt, *target, policy.tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[0, : len(prompt)] = -100
        with policy.bank.use(pairs):
            losses.append(policy.model(input_ids=ids, labels=labels).loss)
    assert float(torch.stack(losses).mean().detach()) == pytest.approx(kept["loss"], rel=1e-5)
    t = settings.train
    optimizer = torch.optim.AdamW(weights, lr=t.learning_rate, weight_decay=t.weight_decay)
    torch.stack(losses).sum().backward()
    torch.nn.utils.clip_grad_norm_(weights, t.clip_norm)
    optimizer.step()
    for got, wanted, start in zip(kept["after"], weights, kept["before"], strict=True):
        # Adam moves by the rate whatever the gradient; where that is rounding alone, by its sign.
        assert float(((got - wanted).abs() > 1e-6).float().mean()) < 0.01
        assert not torch.equal(got, start)


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupted_one_goes_on_to_the_same_bytes(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    settings = settings_of(tiny)
    undisturbed, _ = run_training(tmp_path / "whole", settings, problems=MANY)
    update = Mrlf.supervised_update

    def cut(self: Mrlf, step: int, problems: Any) -> dict[str, float]:
        if step == at:
            raise KeyboardInterrupt
        return update(self, step, problems)

    with monkeypatch.context() as patched:
        patched.setattr(Mrlf, "supervised_update", cut)
        with pytest.raises(KeyboardInterrupt):
            run_training(tmp_path / "cut", settings, problems=MANY)
    monitor = SilentMonitor()
    again, _ = run_training(tmp_path / "cut", settings, problems=MANY, monitor=monitor)
    assert monitor.logged[0][0] == at
    assert again.curves.read_bytes() == undisturbed.curves.read_bytes()
    assert (again.policy / WEIGHTS).read_bytes() == (undisturbed.policy / WEIGHTS).read_bytes()


def test_references_without_weight_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"supervised_epochs needs loss\.sl above 0"):
        TrainSettings.model_validate({"supervised_epochs": 1, "loss": {"sl": 0}})
