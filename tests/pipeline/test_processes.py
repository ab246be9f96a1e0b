"""The other processes of a training: started with it, ended with it, heard when they fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from falcon.errors import UserError
from tasks.support.processes import launch, launched, log_of, rank


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a workspace, in which a stage ends with one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def others() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "tasks" in p.cmdline()]


def train(state: Path, count: int, fault: BaseException) -> None:
    """A training of ``count`` processes that ends with ``fault`` in the first."""
    with launched(state, count):
        assert (os.environ["WORLD_SIZE"], rank()) == (str(count), 0)
        assert len(others()) == count - 1
        raise fault


def test_the_last_words_of_a_process_that_failed_are_heard(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        train(tmp_path / "state", 2, RuntimeError("Connection closed by peer"))
    assert "Process 1 of 2 of the training failed: falcon: " in caught.value.message
    assert str(log_of(tmp_path / "state", 1)) in caught.value.hint
    assert "WORLD_SIZE" not in os.environ
    assert "RANK" not in os.environ


def test_they_end_with_the_training_and_a_fault_that_all_saw_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NaN"):
        train(tmp_path / "state", 3, UserError("The loss became NaN."))
    assert others() == []
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "state", 2, KeyboardInterrupt())
    assert others() == []


def test_none_are_started_for_one_or_by_one_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with launched(tmp_path / "state", 1):
        assert others() == []
        assert "RANK" not in os.environ
    monkeypatch.setenv("WORLD_SIZE", "4")
    with launched(tmp_path / "state", 2):
        assert others() == []
        assert os.environ["WORLD_SIZE"] == "4"


def test_a_launcher_ends_with_the_exit_code_of_the_first_process(tmp_path: Path) -> None:
    # torch.distributed.run itself ends with 1 whatever failed; here there is no workspace: 2.
    words = f"{sys.executable} -m torch.distributed.run --nproc_per_node 1 --standalone"
    assert launch(words, tmp_path / "state") == 2
    with pytest.raises(UserError, match=r"machine.launcher: `no-such-thing` cannot be started"):
        launch("no-such-thing --processes 2", tmp_path / "state")
