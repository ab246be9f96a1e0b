"""Prefect server: one on loopback is started when there is none.

Imports no Prefect: the address must be in the environment before Prefect reads its settings.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from falcon.errors import UserError

LOOPBACK = "127.0.0.1"
START_SECONDS = 120.0


def is_healthy(url: str) -> bool:
    """Whether a Prefect server answers at ``url`` (ending in /api)."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=3) as reply:  # noqa: S310 - checked
            return bool(reply.status == 200 and reply.read(16).strip() == b"true")
    except (urllib.error.URLError, OSError, ValueError):
        return False


def port_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether nothing listens on the port."""
    with socket.socket() as probe:
        # Else a port whose last connection has just closed would count as in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def running(port: int) -> Iterator[str]:
    """The API address of a server: PREFECT_API_URL, one that runs on the port, or one started here.

    One started here is stopped at the end. Raises UserError when PREFECT_API_URL does not answer,
    when another program has the port, and when the server does not start.
    """
    given = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if given:
        if not is_healthy(given):
            raise UserError(
                f"no Prefect server answers at {given} (PREFECT_API_URL).",
                hint="Start it, or unset the variable to have one started here.",
            )
        yield given
        return
    url = f"http://{LOOPBACK}:{port}/api"
    if is_healthy(url):
        os.environ["PREFECT_API_URL"] = url
        yield url
        return
    if not port_free(port):
        raise UserError(
            f"port {port} is in use, and not by a Prefect server.",
            hint="Choose another with --port.",
        )
    words = ["server", "start", "--host", LOOPBACK, "--port", str(port)]
    child = subprocess.Popen([sys.executable, "-m", "prefect", *words], stdout=subprocess.DEVNULL)
    try:
        _wait(child, url)
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        child.terminate()
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait(child: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if is_healthy(url):
            return
        if child.poll() is not None:
            raise UserError(
                f"the Prefect server ended at once (exit {child.returncode}).",
                hint=f"See what it says: {sys.executable} -m prefect server start",
            )
        time.sleep(0.5)
    raise UserError(f"the Prefect server did not answer within {START_SECONDS:.0f} s.")
