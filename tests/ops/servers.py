"""Real servers on loopback that tests stop and start again: MLflow, Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.processes import free_port


class Server:
    """A server process; the same address and data each time it is started."""

    def __init__(
        self, words: list[str], port: int, health: str, folder: Path, extra: Mapping[str, str]
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._words, self._health, self._folder, self._extra = words, health, folder, extra
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._words, cwd=self._folder, stdout=log, stderr=log, start_new_session=True,
                env={**environment, "DO_NOT_TRACK": "1", **self._extra},
            )  # fmt: skip
        end = time.monotonic() + 90
        while time.monotonic() < end:
            assert self._process.poll() is None, (self._folder / "server.log").read_text()[-3000:]
            try:
                with urllib.request.urlopen(self.url + self._health, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        """Kill it and its children."""
        if self._process is None:
            return
        try:
            members = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            members = []
        self._process.kill()
        for each in members:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()
        self._process = None


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """An MLflow server with artefacts of its own."""
    port = free_port()
    words = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with _running(Server(words, port, "/health", folder, quiet)) as server:
        yield server


@contextmanager
def prefect_server(folder: Path) -> Iterator[Server]:
    """A Prefect server with a database of its own."""
    port = free_port()
    words = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port"]
    home = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }
    with _running(Server([*words, str(port)], port, "/api/health", folder, home)) as server:
        yield server
