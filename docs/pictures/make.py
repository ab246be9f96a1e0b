"""The screenshots of docs/operations.md, taken anew: ``make screenshots [ARGS=WORKSPACE]``.

Starts MLflow and Prefect on a workspace in which a run has ended (default: this clone), and takes
pictures of their pages, the Data Docs and the page of the run in Chromium. Exits with 2 where there
is no browser or no run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PICTURES = Path(__file__).resolve().parent
LOAD_MS = 20_000
"""Of virtual time that a page gets: those of MLflow and Prefect load in many small requests."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(words: list[str], health: str, **extra: str) -> Iterator[str]:
    """A server on a free port of loopback while the block runs; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--host", "127.0.0.1", "--port", str(port)],
        env={**environment, "DO_NOT_TRACK": "1", "PREFECT_UI_API_URL": f"{address}/api", **extra},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(address + health, timeout=2)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def take(browser: str, address: str, name: str, height: int = 900) -> None:
    """Write a picture of a page as NAME.png."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={profile}", f"--window-size=1280,{height}",
                f"--virtual-time-budget={LOAD_MS}", f"--screenshot={PICTURES / f'{name}.png'}",
                address,
            ],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    print(PICTURES / f"{name}.png")


def main(root: Path) -> int:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    state = root / "state"
    if browser is None or not (state / "run_report.html").is_file():
        missing = "no Chromium" if browser is None else f"no run has ended in {root}"
        print(f"screenshots: {missing}", file=sys.stderr)
        return 2
    take(browser, (state / "run_report.html").as_uri(), "run_report", 1000)
    take(browser, (state / "data_docs" / "prepare" / "index.html").as_uri(), "data_docs", 1000)
    words = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{state / 'mlflow.db'}"]
    words += ["--artifacts-destination", str(state / "mlartifacts"), "--workers", "1"]
    with server(words, "/health", MLFLOW_DISABLE_TELEMETRY="true") as address:
        take(browser, f"{address}/#/models/falcon-codegen", "mlflow")
    home = {"PREFECT_HOME": str(state / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with server(["prefect", "server", "start"], "/api/health", **home) as address:
        take(browser, f"{address}/runs", "prefect")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
