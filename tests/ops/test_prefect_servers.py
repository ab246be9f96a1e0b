"""A workspace's Prefect server when the command that started it ends, and another uses it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.support.prefect_server import is_healthy
from tests.ops.clone import clean_environment
from tests.pipeline.pipeline_workspace import REPOSITORY
from tests.processes import free_port

USER = """
import sys, time
from tasks.support.prefect_server import running
with running(int(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""


@pytest.mark.nightly
@pytest.mark.row(
    "schedule", "between two runs", "`falcon ui`, whose server it uses, is stopped",
    "a server answers at the same address again, and ends with the schedule",
)  # fmt: skip
def test_whoever_uses_a_server_takes_it_over(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"

    def user() -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-c", USER, str(port)],
            env=clean_environment(REPOSITORY) | {"PREFECT_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert started.stdout is not None
        assert started.stdout.readline() == f"{url}\n"
        return started

    first, second = user(), user()

    def until(healthy: bool) -> None:
        end = time.monotonic() + 240
        while is_healthy(url) != healthy:
            assert time.monotonic() < end
            time.sleep(0.2)

    try:
        first.kill()
        until(healthy=False)
        until(healthy=True)
        assert second.poll() is None
        second.kill()
        until(healthy=False)
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
