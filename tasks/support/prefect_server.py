"""Prefect server: one on loopback is started where there is none, and kept running.

It ends with the process that started it, and one that dies meanwhile is started again: what it
knows lies in its database. Imports no Prefect: the address must be in the environment before
Prefect reads its settings, and the server starts while that is imported.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falcon.env import defaults, find_root
from falcon.errors import UserError
from tasks.support.files import read_json, write_json
from tasks.support.lifetime import GRACE_SECONDS, ProcessId, command, owned_environment
from tasks.support.processes import free_port

HOST = "127.0.0.1"
PORT = 4200
"""Prefect's own port, where nothing else is said."""
START_SECONDS = 120.0
RESTARTS = 5
"""How often a server that died is started again; one that cannot live would be started for ever."""

_APP = "prefect.server.api.server:create_app"
# As Prefect starts its own temporary servers: no pages, and no services but those a run needs.
_TEMPORARY = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
_temporary = ""
"""The address of the temporary server of this process, if it has one."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask_health(url: str, timeout: float = 3.0) -> bool:
    """Whether what answers at ``url`` (ending in /api) is a Prefect server.

    Raises OSError or ValueError where nothing answers or the address is none.
    """
    # Loopback never goes through a proxy.
    opened = _DIRECT.open if f"//{HOST}:" in url else urllib.request.urlopen
    with opened(f"{url}/health", timeout=timeout) as reply:
        return bool(reply.status == 200 and reply.read(16).strip() == b"true")


def is_healthy(url: str) -> bool:
    """Whether a Prefect server answers at ``url`` (ending in /api)."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        return ask_health(url)
    except (OSError, ValueError):  # an HTTP error is an OSError, too
        return False


def port_free(port: int, host: str = HOST) -> bool:
    """Whether nothing listens on the port."""
    with socket.socket() as probe:
        # Else a port whose last connection has just closed would count as in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class PrefectServer:
    """A server of this process. ``pages``: with the user interface, and with all services."""

    def __init__(self, port: int, *, pages: bool) -> None:
        self.url = f"http://{HOST}:{port}/api"
        self._port = port
        self._pages = pages
        self._stopping = threading.Event()
        self.log = _home() / "server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._child = self._start()
        threading.Thread(target=self._keep, daemon=True, name="prefect-server").start()
        # Prefect sends its last log lines at exit. What was registered later runs earlier, so it
        # still finds the server there.
        atexit.register(self.stop)

    def _start(self) -> subprocess.Popen[bytes]:
        where = ("--host", HOST, "--port", str(self._port))
        if self._pages:
            words = command("prefect", "server", "start", *where)
        else:
            words = command("uvicorn", "--factory", _APP, *where, "--log-level", "error")
        env = {**os.environ, **owned_environment(), **({} if self._pages else _TEMPORARY)}
        env.pop("PREFECT_API_URL", None)  # a server that is started again would be its own client
        # Without it the pages ask port 4200, whatever port the server has.
        env.setdefault("PREFECT_SERVER_UI_API_URL", self.url)
        with self.log.open("wb") as log:
            return subprocess.Popen(words, env=env, stdout=log, stderr=subprocess.STDOUT)

    def _keep(self) -> None:
        for _ in range(RESTARTS):
            self._child.wait()
            if self._stopping.wait(0.5):
                return
            self._child = self._start()

    def wait(self) -> None:
        """Wait until it answers. Raises UserError when it does not."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if is_healthy(self.url):
                return
            code = self._child.poll()
            if code is not None:
                raise UserError(
                    f"the Prefect server ended at once (exit {code}).",
                    hint=f"See what it says: {self.log}, or {sys.executable} -m prefect server start",
                )
            time.sleep(0.1)
        raise UserError(
            f"the Prefect server did not answer within {START_SECONDS:.0f} s.",
            hint=f"Its log is {self.log}.",
        )

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self._child.terminate()
        try:
            self._child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _home() -> Path:
    return Path(os.environ.get("PREFECT_HOME") or defaults(find_root())["PREFECT_HOME"])


def _card() -> Path:
    """Names the server that `falcon schedule` keeps running in this workspace."""
    return _home() / "falcon_server.json"


@contextmanager
def running(port: int, option: str = "--port") -> Iterator[str]:
    """The API address of a server: PREFECT_API_URL, one that runs on the port, or one started here.

    One started here is stopped at the end. Raises UserError when PREFECT_API_URL does not answer,
    when another program has the port (``option`` of the command chooses another), and when the
    server does not start.
    """
    given = _given()
    if given:
        yield given
        return
    url = f"http://{HOST}:{port}/api"
    _outlast_a_dying_one(url)
    if is_healthy(url):
        os.environ["PREFECT_API_URL"] = url
        threading.Thread(target=_replace, args=(port, scheduling_server()), daemon=True).start()
        yield url
        return
    if not port_free(port):
        raise UserError(
            f"port {port} is in use, and not by a Prefect server.",
            hint=f"Choose another with {option}.",
        )
    server = PrefectServer(port, pages=True)
    try:
        server.wait()
        os.environ["PREFECT_API_URL"] = url
        write_json(_card(), {**ProcessId.here().as_json(), "url": url})
        yield url
    finally:
        _card().unlink(missing_ok=True)
        server.stop()


def _replace(port: int, url: str) -> None:
    """Start a server in place of another process's of this workspace once that has ended."""
    while url:
        time.sleep(5.0)
        if not is_healthy(url) and port_free(port):
            PrefectServer(port, pages=True).wait()
            write_json(_card(), {**ProcessId.here().as_json(), "url": url})
            return


def _outlast_a_dying_one(url: str) -> None:
    """Wait while the server of a schedule that was killed has not ended yet."""
    end = time.monotonic() + GRACE_SECONDS + 5.0
    while time.monotonic() < end:
        card = read_json(_card()) if _card().is_file() else None
        if card is None or card["url"] != url or not ProcessId.of(card).is_dead:
            return
        if not is_healthy(url):
            return
        time.sleep(0.5)


def _given() -> str:
    given = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if given and not is_healthy(given):
        raise UserError(
            f"no Prefect server answers at {given} (PREFECT_API_URL).",
            hint="Start it, or unset the variable to have one started here.",
        )
    return given


def scheduling_server() -> str:
    """The API address of the server of this workspace's `falcon schedule`, or ""."""
    file = _card()
    if not file.is_file():
        return ""
    card = read_json(file)
    return "" if ProcessId.of(card).is_dead or not is_healthy(card["url"]) else str(card["url"])


def pages_address() -> str:
    """Where the pages of the server in use are. A temporary one has none: those of its database
    are shown by `falcon ui`, at its usual address.
    """
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    shown = f"http://{HOST}:{PORT}/api" if not url or url == _temporary else url
    return (os.environ.get("PREFECT_UI_URL") or shown.removesuffix("/api")).rstrip("/")


@contextmanager
def for_a_run() -> Iterator[PrefectServer | None]:
    """A server for one run, set as PREFECT_API_URL: that of PREFECT_API_URL, the one that
    `falcon schedule` keeps here, or a temporary one, to be waited for before its first use; that
    ends with this process.

    Raises UserError when PREFECT_API_URL does not answer, and when the server is away for good
    while the block uses it.
    """
    global _temporary
    url = _given() or scheduling_server()
    server = None
    if not url:
        server = PrefectServer(free_port(), pages=False)
        url = _temporary = server.url
    os.environ["PREFECT_API_URL"] = url
    try:
        with away_in_one_line(url):
            yield server
    finally:
        if server is not None:
            os.environ.pop("PREFECT_API_URL")


@contextmanager
def away_in_one_line(url: str) -> Iterator[None]:
    """Raise UserError instead of what Prefect's client raises when its server is away."""
    import httpx

    try:
        yield
    except httpx.HTTPError as fault:
        raise UserError(
            f"the Prefect server at {url} failed ({type(fault).__name__}:"
            f" {str(fault).partition(chr(10))[0][:200]}).",
            hint="What was made is kept: start it and give the command again.",
        ) from fault
