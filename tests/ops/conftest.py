"""Clones to break, servers to stop, and the fault table: what was done, what must be, whether it is.

The tiny workspace is made once for all workers; each test has a copy of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from falcon.config import parse_overrides
from tasks.support.params import write_settings
from tasks.support.workspace import Workspace
from tests.models import tiny_causal
from tests.ops.clone import AGAIN, REGISTRY, Clone, Moment, copy_clone
from tests.ops.servers import mlflow_server, prefect_server
from tests.pipeline.pipeline_workspace import make_workspace, sh

TABLE = Path(__file__).resolve().parents[2] / "state" / "fault_table.md"
TINY = {
    "policy.dtype": "float32",
    "policy.lora_rank": 4,
    "policy.max_prompt_tokens": 900,
    "sampling.max_new_tokens": 24,
    "sampling.batch_size": 8,
    "memory.demonstrations": 2,
    "memory.recall_tokens": 120,
    "rollout.problems": 2,
    "rollout.samples": 2,
    "train.steps": 2,
    "train.validate_every": 1,
    "train.validation_problems": 1,
    "train.meta.tasks": 2,
    "train.meta.samples": 2,
    "train.meta.evaluation_samples": 1,
    "benchmark.limit": 2,
    "benchmark.max_new_tokens": 24,
    # An untrained model fails in the same few ways whatever is done with it: any one may serve.
    "gate.metric": "pass_rate",
    "gate.require": "not_worse",
    "gate.tolerance": 1.0,
    "gate.quality_tolerance": 3.0,
    "gate.max_tamper_rate": 1.0,
}
"""Settings of a run that takes seconds, and a gate that lets its model pass."""


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts something in the background lets it ignore Ctrl-C, and so all it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "nightly: one that CI leaves out, as it runs its like")
    config.addinivalue_line("markers", "row(stage, moment, fault, must): a row of the fault table")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: at the end one worker would wait for it."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/ops/test_three_weeks.py"))


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.flow)
    item.add_marker(pytest.mark.timeout(1200))  # the first test waits for the workspaces


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("row"):
        item.user_properties.append(("row", mark.args))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the fault table, and write it to ``state/fault_table.md``."""
    rows = []
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if outcome not in ("passed", "failed", "error", "skipped"):
                continue
            result = {"passed": "as required"}.get(outcome, outcome)
            found = [v for k, v in getattr(report, "user_properties", ()) if k == "row"]
            rows += [(report.nodeid, n, *cells, result) for n, cells in enumerate(found)]
    if not rows:
        return
    head = "| | stage | moment | fault | what must be | result |\n|---|---|---|---|---|---|"
    lines = [
        f"| {number} | {' | '.join(row[2:])} |" for number, row in enumerate(sorted(rows), start=1)
    ]
    good = sum(row[-1] == "as required" for row in rows)
    text = "\n".join((head, *lines, "", f"{good} of {len(rows)} as required."))
    terminalreporter.write_sep("=", "fault table")
    terminalreporter.write_line(text)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(text + "\n", encoding="utf-8")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _once(shared: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one worker makes while the others wait for it."""
    folder, made = shared / name, shared / f"{name}.made"
    with _locked(shared / f"{name}.lock"):
        if not made.exists():
            assert not folder.exists(), f"another worker failed to make {folder}"
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers."""
    if kept := os.environ.get("OPS_WORKSPACES"):  # of an earlier session with the same code
        return Path(kept)
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def fresh(shared: Path) -> Path:
    """A workspace with tiny settings in which nothing has run."""

    def make(root: Path) -> None:
        make_workspace(root)
        model = tiny_causal(shared / "model", chat=True)
        values = {**TINY, "policy.model": model}
        overrides = parse_overrides(f"{key}={value}" for key, value in values.items())
        write_settings(Workspace(root), "", overrides)
        assert sh(root, "git", "commit", "-qam", "tiny").returncode == 0

    return _once(shared, "fresh", make)


@pytest.fixture(scope="session")
def finished(shared: Path, fresh: Path) -> Path:
    """A workspace whose first run has ended: version 1 is in service."""

    def make(root: Path) -> None:
        copy_clone(fresh, root)
        clone = Clone(root, shared / "finished.logs")
        clone.falcon("run").ok()
        assert clone.aliases() == {"champion": "1"}

    return _once(shared, "finished", make)


@pytest.fixture(scope="session")
def unregistered(shared: Path, finished: Path) -> Path:
    """A workspace whose second run was killed when its gate had passed, before the registry."""

    def make(root: Path) -> None:
        copy_clone(finished, root)
        clone = Clone(root, shared / "unregistered.logs")
        clone.killed(*AGAIN, at=Moment("falcon.cli run", call=f"{REGISTRY}.register"))
        assert clone.aliases() == {"champion": "1"}

    return _once(shared, "unregistered", make)


@pytest.fixture(scope="session")
def twice(shared: Path, unregistered: Path) -> Path:
    """A workspace after two runs: version 2 is in service, version 1 was before."""

    def make(root: Path) -> None:
        copy_clone(unregistered, root)
        clone = Clone(root, shared / "twice.logs")
        clone.falcon(*AGAIN).ok()
        assert clone.aliases() == {"champion": "2", "previous": "1"}
        clone.sh("git", "commit", "-qam", "seed 1").ok()

    return _once(shared, "twice", make)


def _copy(source: Path, tmp_path: Path) -> Iterator[Clone]:
    clone = Clone(copy_clone(source, tmp_path / "clone"), tmp_path / "logs")
    yield clone
    clone.stop()
    shutil.rmtree(clone.root, ignore_errors=True)


@pytest.fixture
def clone(finished: Path, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the workspace in which one run has ended."""
    yield from _copy(finished, tmp_path)


@pytest.fixture
def clone_to_register(unregistered: Path, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the workspace in which the second run has still to register its version."""
    yield from _copy(unregistered, tmp_path)


@pytest.fixture
def clone_of_two(twice: Path, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the workspace in which two runs have ended."""
    yield from _copy(twice, tmp_path)


@pytest.fixture
def fresh_clone(fresh: Path, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the workspace in which nothing has run."""
    yield from _copy(fresh, tmp_path)


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server of this worker: a run that uses it need not start one."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        yield f"{server.url}/api"


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Any]:
    """An MLflow server that can be stopped and started."""
    with mlflow_server(tmp_path / "tracker") as server:
        yield server
