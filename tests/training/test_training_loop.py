from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from falcon.errors import UserError
from falcon.memory import Experience
from falcon.monitor import SilentMonitor
from falcon.training import saved_run_id
from falcon.training.batches.items import LOSSES
from falcon.training.methods.mrlf import Mrlf
from falcon.training.run import checkpoint
from tests.training.setups import PROBLEMS, make_problem, make_settings, run_training

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "adapter_model.safetensors"


def rows_of(curves: Path) -> list[dict[str, str]]:
    with curves.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tiny: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one undisturbed training of three steps."""
    root = tmp_path_factory.mktemp("whole")
    run_training(root, make_settings(tiny["causal"]), run_id="whole")
    return root


def test_a_killed_training_goes_on_to_the_same_bytes(
    whole: Path, tiny: dict[str, Path], tmp_path: Path
) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tests.training.killed_run", str(tiny["causal"]), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
    assert not (tmp_path / "out" / "curves.csv").exists()
    assert checkpoint.latest(tmp_path / "checkpoints") == tmp_path / "checkpoints" / "step-000002"
    assert saved_run_id(tmp_path / "checkpoints") == "first"
    monitor = SilentMonitor()
    result, remembered = run_training(
        tmp_path, make_settings(tiny["causal"]), monitor=monitor, run_id="second"
    )
    assert [step for step, _ in monitor.logged] == [2]
    assert result.curves.read_bytes() == (whole / "out" / "curves.csv").read_bytes()
    for place in ("out/policy", "checkpoints/step-000003/policy", "checkpoints/best"):
        assert (tmp_path / place / WEIGHTS).read_bytes() == (whole / place / WEIGHTS).read_bytes()
    stored = checkpoint.read_progress(whole / "checkpoints" / "step-000003").experiences
    assert [e.key for e in remembered[2:]] == list(dict.fromkeys(e.key for e in stored))
    assert saved_run_id(tmp_path / "checkpoints") == "first"


def test_short_term_memory_is_part_of_the_checkpoint(
    whole: Path, tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole / "checkpoints" / "step-000002", tmp_path / "checkpoints/step-000002")
    kept = checkpoint.read_progress(tmp_path / "checkpoints" / "step-000002").short_term
    assert {e.origin.step for e in kept} == {1}
    assert len(kept) == 2 * (2 + 1)
    held: list[list[Experience]] = []
    iterate = Mrlf.iterate

    def watched(self: Mrlf, step: int) -> Any:
        held.append(list(self.short_term))
        return iterate(self, step)

    monkeypatch.setattr(Mrlf, "iterate", watched)
    run_training(tmp_path, make_settings(tiny["causal"]), run_id="second")
    assert held == [kept]
    last = [checkpoint.read_progress(r / "checkpoints/step-000003") for r in (whole, tmp_path)]
    assert last[0].short_term == last[1].short_term != kept


def test_the_seed_decides_everything(whole: Path, tiny: dict[str, Path], tmp_path: Path) -> None:
    again, _ = run_training(tmp_path / "again", make_settings(tiny["causal"]))
    other, _ = run_training(tmp_path / "other", make_settings(tiny["causal"], seed=8))
    curves = (whole / "out" / "curves.csv").read_bytes()
    assert again.curves.read_bytes() == curves
    assert other.curves.read_bytes() != curves


def test_curves_have_a_row_a_step_and_every_loss(whole: Path) -> None:
    rows = rows_of(whole / "out" / "curves.csv")
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        assert float(row["loss/sl"]) > 0
        assert float(row["loss_inner/sl"]) > 0
        assert float(row["norm/update"]) > 0
        assert float(row["verdict/fault"]) == 0
        classes = sum(float(row[f"verdict/{k}"]) for k in ("pass", "failure", "runtime", "syntax"))
        assert classes == pytest.approx(1)
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([1e-3, 2e-3 / 3, 1e-3 / 3])


def test_without_rewards_of_the_latest_samples_the_remembered_keep_theirs(
    tiny: dict[str, Path], tmp_path: Path
) -> None:
    losses = []
    for latest, remembered in ((True, 0), (False, 0), (False, 1)):
        meta = {"order": 0, "baseline": "none", "quality_baseline": "none"}
        meta |= {"latest_rewards": latest, "long_batch": remembered}
        settings = make_settings(tiny["causal"], train={"steps": 1, "meta": meta})
        result, _ = run_training(tmp_path / str(len(losses)), settings)
        (row,) = rows_of(result.curves)
        losses.append({name: float(row[f"loss/{name}"]) for name in LOSSES})
    all_rewards, silent, remembering = losses
    earned = [name for name in ("coarse", "complexity", "style") if all_rewards[name]]
    assert earned
    assert not any(silent[name] for name in earned)
    assert all(remembering[name] for name in ("error", "complexity", "style"))
    assert silent["negative"] == all_rewards["negative"] != 0


def test_the_time_of_a_step_is_split_by_kind(tiny: dict[str, Path], tmp_path: Path) -> None:
    monitor = SilentMonitor()
    began = time.perf_counter()
    run_training(tmp_path, make_settings(tiny["causal"], train={"steps": 2}), monitor=monitor)
    elapsed = time.perf_counter() - began
    kinds = {"recall", "generate", "execute", "feedback", "adapt", "update", "log"}
    steps = [
        {name[5:]: s for name, s in row.items() if name.startswith("time/")}
        for _, row in monitor.logged
    ]
    assert {"load", "memory_check"} <= set(steps[0])
    assert set(steps[1]) == kinds | {"evaluate_s"}
    assert all(seconds > 0 for step in steps for seconds in step.values())
    # Kinds do not overlap; the line "Evaluation" is in them.
    assert sum(s for step in steps for kind, s in step.items() if kind != "evaluate_s") < elapsed
    parts = ("recall", "generate", "execute", "feedback")
    assert all(step["evaluate_s"] < sum(step[kind] for kind in parts) for step in steps)


def test_held_out_problems_are_neither_trained_on_nor_remembered(
    whole: Path, tiny: dict[str, Path], tmp_path: Path
) -> None:
    trained = {p.id for p in PROBLEMS[:3]}
    progress = checkpoint.read_progress(whole / "checkpoints" / "step-000003")
    assert {e.problem_id for e in progress.experiences} == trained
    assert len(progress.experiences) == 3 * 2 * (2 + 1)
    held_out = [make_problem(4, "valid"), make_problem(5, "test")]
    with pytest.raises(UserError, match="No problem to train on"):
        run_training(tmp_path, make_settings(tiny["causal"]), problems=held_out)


def test_every_experience_is_in_long_term_memory(tiny: dict[str, Path], tmp_path: Path) -> None:
    settings = make_settings(tiny["causal"], train={"steps": 1, "meta": {"order": 0}})
    result, remembered = run_training(tmp_path, settings)
    progress = checkpoint.read_progress(tmp_path / "checkpoints" / "step-000001")
    assert {e.key for e in progress.experiences} <= {e.key for e in remembered}
    assert {e.origin.step for e in progress.experiences} == {0}
    assert len({e.origin.policy for e in progress.experiences}) == 1
    assert "loss_inner/sl" not in rows_of(result.curves)[0]


def test_the_best_validated_adapter_is_the_result(tiny: dict[str, Path], tmp_path: Path) -> None:
    """Eq. 5: taught one answer by heart, the policy solves the same task held out."""
    text = {"entry_point": "f", "statement": "Write `f(x)`.", "solutions": ["f=abs"]}
    tests = {"kind": "call", "entry_point": "f", "calls": [{"args": [-1], "expected": 1}]}
    problems = [make_problem(i, s, tests=tests, **text) for i, s in enumerate(("train", "valid"))]
    only_sl = dict.fromkeys(("coarse", "error", "complexity", "style", "negative"), 0.0)
    settings = make_settings(
        tiny["causal"],
        memory={"at": "off"},
        train={
            "steps": 12,
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "validate_every": 1,
            "checkpoint_every": 1,
            "keep_checkpoints": 12,
            "loss": only_sl,
            "meta": {"order": 0, "tasks": 1, "long_batch": 0},
        },
    )
    result, _ = run_training(tmp_path, settings, problems=problems)
    scores = {
        int(row["step"]) + 1: float(row["valid/reward/tests"])
        for row in rows_of(result.curves)
        if row["valid/reward/tests"]
    }
    assert sorted(scores) == list(range(1, 13))
    best = max(scores.values())
    assert best == 1 > scores[1]
    first = min(step for step, score in scores.items() if score == best)
    assert first < 12
    assert result.best_step == first
    assert result.metrics["valid/best_reward"] == best
    chosen = (result.policy / WEIGHTS).read_bytes()
    steps = {s: tmp_path / f"checkpoints/step-{s:06d}/policy" / WEIGHTS for s in (first, 12)}
    assert chosen == steps[first].read_bytes()
    assert chosen != steps[12].read_bytes()


def test_references_answer_the_prompt_of_the_samples(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recalled text included: as the policy will be asked."""
    prompts: list[tuple[Any, ...]] = []
    supervised = Mrlf.supervised_samples

    def watched(self: Mrlf, problem: Any, group: Any, rng: Any) -> Any:
        samples = supervised(self, problem, group, rng)
        prompts.append(
            (samples[0].prompt, group[0].prompt_ids, self.policy.prompts.encode(problem))
        )
        return samples

    monkeypatch.setattr(Mrlf, "supervised_samples", watched)
    run_training(tmp_path, make_settings(tiny["causal"], train={"steps": 1}))
    assert len(prompts) == 4  # two tasks, in the inner and in the outer mini-batch
    for prompt, of_samples, bare in prompts:
        assert prompt == of_samples
        assert len(prompt) > len(bare)


def test_checkpoint_of_other_settings_is_refused(
    whole: Path, tiny: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(whole / "checkpoints", tmp_path / "checkpoints")
    settings = make_settings(tiny["causal"], train={"learning_rate": 0.5})
    with pytest.raises(UserError, match=r"step-000003: the checkpoint belongs to other settings"):
        run_training(tmp_path, settings)
    with pytest.raises(UserError, match="other settings, data or memory"):
        run_training(tmp_path, make_settings(tiny["causal"]), problems=PROBLEMS[:4])
    # What does not change the numbers does not bind a checkpoint.
    monitor = SilentMonitor()
    harmless = make_settings(tiny["causal"], benchmark={"samples": 3})
    run_training(tmp_path, harmless, monitor=monitor)
    assert monitor.logged == []


def test_a_loss_that_is_not_finite_is_named(tiny: dict[str, Path], tmp_path: Path) -> None:
    meta = {"inner_lr": 1e30, "evaluate_with": "meta"}
    with pytest.raises(UserError, match=r"NaN or infinite in the meta-update: sl, .*style"):
        run_training(tmp_path, make_settings(tiny["causal"], train={"meta": meta}))
    assert not (tmp_path / "out").exists()


def test_the_last_checkpoint_survives_weights_that_overflow(
    tiny: dict[str, Path], tmp_path: Path
) -> None:
    settings = make_settings(tiny["causal"], train={"learning_rate": 1e30, "validate_every": 0})
    with pytest.raises(UserError, match=r"NaN or infinite.*last checkpoint is whole"):
        run_training(tmp_path, settings)
    folder = checkpoint.latest(tmp_path / "checkpoints")
    assert folder is not None
    progress = checkpoint.read_progress(folder)
    assert progress.step == 1
    assert len(progress.history) == 1


@pytest.mark.parametrize("kind", ["chat", "seq2seq"])
def test_other_kinds_of_model_train_alike(tiny: dict[str, Path], tmp_path: Path, kind: str) -> None:
    order = {"chat": 1, "seq2seq": 2}[kind]
    meta = {"order": order, "baseline": "greedy", "inner_steps": 2}
    settings = make_settings(
        tiny[kind],
        sampling={"top_p": 0.9},
        train={"steps": 1, "meta": meta},
        feedback={"adaptive": "add"},
    )
    result, _ = run_training(tmp_path, settings)
    (row,) = rows_of(result.curves)
    assert float(row["norm/update"]) > 0
    assert (result.policy / WEIGHTS).is_file()


def test_the_inner_steps_may_be_an_update_of_their_own(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of AdamW by hand, on the gradients of the inner steps and then on those of L_meta."""
    import torch

    from falcon.policy.policy import Policy
    from falcon.training.inner_loop import inner_gradients, outer_gradient, tensors
    from falcon.training.methods import mrlf

    kept: dict[str, list[torch.Tensor]] = {}

    def outer(policy: Policy, *rest: Any) -> Any:
        kept["theta"] = [p.detach().clone() for p in tensors(policy.bank.meta())]
        report = outer_gradient(policy, *rest)
        kept["outer"] = [p.grad.clone() for p in tensors(policy.bank.meta())]  # type: ignore[union-attr]
        return report

    def inner(*args: Any) -> Any:
        kept["inner"] = [g.clone() for g in inner_gradients(*args)]
        return inner_gradients(*args)

    monkeypatch.setattr(mrlf, "outer_gradient", outer)
    monkeypatch.setattr(mrlf, "inner_gradients", inner)
    settings = make_settings(
        tiny["causal"], train={"steps": 1, "validate_every": 0, "meta": {"gradient": "each"}}
    )
    result, _ = run_training(tmp_path, settings)
    trained = Policy.load(settings.policy, adapter=result.policy, seed=settings.seed)

    weights = [torch.nn.Parameter(t.clone()) for t in kept["theta"]]
    t = settings.train
    optimizer = torch.optim.AdamW(weights, lr=t.learning_rate, weight_decay=t.weight_decay)
    for name in ("inner", "outer"):
        for weight, gradient in zip(weights, kept[name], strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(weights, t.clip_norm)
        optimizer.step()
    trained_weights = tensors(trained.bank.meta())
    for weight, got, start in zip(weights, trained_weights, kept["theta"], strict=True):
        assert torch.allclose(got, weight, rtol=0, atol=1e-8)
        assert not torch.equal(got, start)


def test_a_training_starts_from_the_adapter_it_is_given(
    whole: Path, tiny: dict[str, Path], tmp_path: Path
) -> None:
    first = whole / "out" / "policy"
    # A rate so small that what it starts from is what it ends with.
    settings = make_settings(tiny["causal"], train={"learning_rate": 1e-12, "steps": 1})
    result, _ = run_training(tmp_path, settings, start=first)
    begun, ended = (load_file(folder / WEIGHTS) for folder in (first, result.policy))
    assert all(torch.allclose(begun[name], ended[name], atol=1e-6) for name in begun)
    # A checkpoint of a training that started from another adapter is not gone on with.
    with pytest.raises(UserError, match="belongs to other settings, data or memory"):
        run_training(tmp_path, settings)
