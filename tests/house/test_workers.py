"""How the tests are run: what a file shares is made once, and what it sets is gone after it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = ROOT / "tests" / "conftest.py"
SHARES = """\
import os

import pytest


import flows.notify  # sets the places of the clone it is imported in


def test_nothing_is_left_behind():
    assert "LEFT_BEHIND" not in os.environ


def test_no_place_is_that_of_the_clone_or_of_the_user():
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert "PREFECT_API_URL" not in os.environ
    here = os.getcwd()
    for name in ("PREFECT_HOME", "FALCON_CACHE"):
        assert "falcon-tests-" in os.environ[name] and not os.environ[name].startswith(here)


@pytest.fixture(scope="module")
def made():
    with open(os.environ["MADE"], "a") as log:
        log.write(__name__ + "\\n")
    os.environ["LEFT_BEHIND"] = __name__


@pytest.mark.parametrize("number", range(4))
def test_it(made, number):
    assert os.environ["LEFT_BEHIND"] == __name__
"""


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "2", "--dist", "loadgroup"]])
def test_a_file_shares_what_it_makes_and_leaves_nothing_behind(
    workers: list[str], tmp_path: Path
) -> None:
    shutil.copyfile(CONFTEST, tmp_path / "conftest.py")
    names = ("test_a", "test_b", "test_c")
    for name in names:
        (tmp_path / f"{name}.py").write_text(SHARES)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers, "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={
            "MADE": str(tmp_path / "made"), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": "http://theirs", "PREFECT_API_URL": "http://theirs/api",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted((tmp_path / "made").read_text().split()) == list(names)
