from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from falcon.errors import UserError
from falcon.memory.experience import Origin
from falcon.policy.policy import Policy
from falcon.training import saved_run_id
from falcon.training.run.checkpoint import (
    Progress,
    latest,
    read_progress,
    restore,
    save,
    write_folder,
)
from tests.models import load_tiny, stir
from tests.training.setups import attempts_of


def optimizer_of(policy: Policy) -> torch.optim.Optimizer:
    return torch.optim.AdamW(policy.bank.parameters(), lr=0.01)


def move(policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    sum((p * p).sum() for p in policy.bank.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()


def test_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "made"

    def fill(folder: Path) -> None:
        (folder / "a").write_text("new")
        assert not target.exists() or (target / "a").read_text() == "old"

    def fail(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(target, fail)
    assert not target.exists()
    target.mkdir()
    (target / "a").write_text("old")
    (target / "stale").write_text("")
    with pytest.raises(OSError, match="disk full"):
        write_folder(target, fail)
    assert (target / "a").read_text() == "old"
    write_folder(target, fill)
    assert [(p.name, p.read_text()) for p in target.iterdir()] == [("a", "new")]
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_half_written_folders_are_no_checkpoints(causal: Policy, tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    assert saved_run_id(tmp_path) is None
    save(tmp_path, Progress(step=1, run_id="run"), causal, optimizer_of(causal), 2)
    shutil.copytree(tmp_path / "step-000001", tmp_path / ".step-000002.new-1")
    shutil.copytree(tmp_path / "step-000001", tmp_path / ".step-000002.old-1")
    (tmp_path / "step-000003").mkdir()
    (tmp_path / "best").mkdir()
    assert latest(tmp_path) == tmp_path / "step-000001"
    assert saved_run_id(tmp_path) == "run"


def test_the_last_few_are_kept(causal: Policy, tmp_path: Path) -> None:
    optimizer = optimizer_of(causal)
    (tmp_path / ".step-000007.new-1").mkdir()  # of a process that was killed
    for step in (8, 9, 10, 11):
        save(tmp_path, Progress(step=step), causal, optimizer, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000010", "step-000011"]


def test_everything_comes_back_as_it_was(
    causal: Policy, tiny: dict[str, Path], tmp_path: Path
) -> None:
    optimizer = optimizer_of(causal)
    move(causal, optimizer)
    experiences = [
        a.experience(Origin(stage="train", step=1))
        for a in attempts_of(causal, [("x = '\u2028'\n", "pass", 0), ("y\n", "NameError", 1)])
    ]
    history = [{"step": 0.0, "loss/sl": 0.1 + 0.2, "norm/update": 1e-17}]
    latest_two = [*experiences[1:], experiences[0]]
    progress = Progress(3, 12, "run", "digest", 2, 0.25, history, experiences, latest_two, 4)
    save(tmp_path, progress, causal, optimizer, 2)
    other = load_tiny(tiny["causal"])
    stir(other, seed=99)
    second = optimizer_of(other)
    folder = latest(tmp_path)
    assert folder is not None
    assert read_progress(folder) == progress
    restore(folder, other, second)
    assert other.digest() == causal.digest()
    move(causal, optimizer)
    move(other, second)
    assert other.digest() == causal.digest()


def test_a_run_without_validation_has_no_best_yet(causal: Policy, tmp_path: Path) -> None:
    save(tmp_path, Progress(step=1), causal, optimizer_of(causal), 1)
    assert read_progress(tmp_path / "step-000001").best_score == float("-inf")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("progress.json", "{"),
        ("progress.json", '{"unknown": 1}'),
        ("experiences.jsonl", '{"half": '),
        ("experiences.jsonl", None),
        ("short_term.jsonl", '{"half": '),
    ],
)
def test_damage_is_named(causal: Policy, tmp_path: Path, file: str, text: str | None) -> None:
    save(tmp_path, Progress(step=1), causal, optimizer_of(causal), 1)
    place = tmp_path / "step-000001"
    (place / file).unlink()
    if text is not None:
        (place / file).write_text(text)
    with pytest.raises(UserError, match=r"step-000001: damaged checkpoint"):
        read_progress(place)


def test_damaged_optimizer_is_named(causal: Policy, tmp_path: Path) -> None:
    optimizer = optimizer_of(causal)
    save(tmp_path, Progress(step=1), causal, optimizer, 1)
    file = tmp_path / "step-000001" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UserError, match=r"step-000001: damaged checkpoint"):
        restore(tmp_path / "step-000001", causal, optimizer)


def test_a_place_that_cannot_be_written_is_named(causal: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the checkpoint of step 4 cannot be written"):
        save(tmp_path / "file", Progress(step=4), causal, optimizer_of(causal), 1)
