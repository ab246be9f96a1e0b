"""Trainings end at the numbers that are committed, to the last bit (see ``trajectories.py``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.trajectories import CASES, FOLDER, PINNED, own_folder

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)  # about 75 s of one quiet core


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trajectories run anew, in a process whose arithmetic is pinned."""
    out = tmp_path_factory.mktemp("trajectories")
    process = subprocess.run(
        [sys.executable, "-m", "tests.training.trajectories", str(out)],
        cwd=ROOT,
        env={**os.environ, **PINNED, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return out


@pytest.mark.parametrize("name", CASES)
def test_a_training_repeats_its_reference_bit_for_bit(name: str, repeated: Path) -> None:
    if not own_folder().is_dir():
        pytest.skip(f"no references of this processor's maker; there are {os.listdir(FOLDER)}")
    wanted = json.loads((own_folder() / f"{name}.json").read_text())
    got = json.loads((repeated / f"{name}.json").read_text())
    for step, (a, b) in enumerate(zip(wanted["steps"], got["steps"], strict=True)):
        changed = {
            key: (a.get(key), b.get(key)) for key in a.keys() | b.keys() if a.get(key) != b.get(key)
        }
        assert not changed, f"step {step}: (committed, now) {changed}"
    assert got == wanted


def test_no_reference_is_left_over() -> None:
    assert any(FOLDER.iterdir())
    for maker in FOLDER.iterdir():
        assert {path.stem for path in maker.iterdir()} == set(CASES)
