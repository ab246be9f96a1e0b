"""Order of the tests, and which of them `make test` runs.

Files that take minutes come first, so that no worker ends alone with one. Tests marked `flow`, and
all of `tests/ops`, start servers and whole runs: `make test-ops` runs them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon.config import set_overrides

OPS = Path(__file__).parent / "ops"

pytest.register_assert_rewrite("tests.ops.clone")  # it has assertions, and no name of a test

LONG = (
    "test_three_weeks.py",
    "test_whole_flow.py",
    "test_trajectories.py",
    "test_process_group.py",
    "test_sandbox_fuzz.py",
    "test_stages_dvc.py",
    "test_backbone.py",
    "test_humaneval_grader.py",
    "test_offline.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.config.pluginmanager.hasplugin("xdist") and not item.path.name.startswith(
        "test_faults_"
    ):
        # What a module shares is made by one worker (``--dist loadgroup``).
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


OURS = ("FALCON_", "MLFLOW_", "PREFECT_")
"""Beginnings of variables that say where runs and results go."""
ASKED = "FALCON_EVALPLUS"  # names a grader to compare with


def pytest_configure(config: pytest.Config) -> None:
    """No test writes into the tracker, the Prefect or the caches of whoever runs the tests."""
    if hasattr(config, "workerinput"):
        return  # a worker inherits what is set here
    for name in [name for name in os.environ if name.startswith(OURS) and name != ASKED]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="falcon-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    # What is imported (``flows``) sets those of this clone where there are none.
    os.environ["PREFECT_HOME"] = f"{home}/prefect"
    os.environ["FALCON_CACHE"] = f"{home}/cache"


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """What a file's tests or a library set in the environment (``mlflow.set_tracking_uri`` does) is
    not there for the next file's; nor is the tracker of this clone, which imports set, nor a
    ``--set`` of a command that ran in this process."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    before = dict(os.environ)
    yield
    set_overrides([])
    os.environ.clear()
    os.environ.update(before)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = (Path(str(each).split("::")[0]).resolve() for each in config.args)
    if collection_path == OPS and not any(each.is_relative_to(OPS) for each in asked):
        return True
    return None
