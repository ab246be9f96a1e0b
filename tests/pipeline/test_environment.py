"""Odd environments: proxies, users without a name, locales, masks."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pipeline_workspace import sh

from falcon import env
from tasks.support.lifetime import ProcessId
from tasks.support.mlflow_server import names
from tasks.support.workspace import Workspace


@pytest.fixture
def hello() -> Iterator[str]:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


ASK = """
import sys, urllib.request, httpx, requests
url = sys.argv[1]
print(urllib.request.urlopen(url).read(), httpx.get(url).content, requests.get(url).content)
"""


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_loopback_never_goes_through_a_proxy(shared: Workspace, hello: str, name: str) -> None:
    proxies = {name: "http://127.0.0.1:9", "NO_PROXY": "example.org"}
    environment = dict(proxies)
    env.apply(shared.root, environment)
    assert environment["NO_PROXY"] == environment["no_proxy"]
    assert environment["NO_PROXY"].split(",") == ["example.org", *env.LOOPBACK]
    code = f"from falcon.env import apply; apply()\n{ASK}"
    done = sh(shared.root, sys.executable, "-c", code, hello, **proxies)
    assert done.stdout.count("b'hello'") == 3, done.stderr[-1000:]
    plain: dict[str, str] = {}
    env.apply(shared.root, plain)
    assert "no_proxy" not in plain


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root, setpriv")
def test_a_user_id_without_an_entry_has_a_name_and_a_home(shared: Workspace) -> None:
    code = (
        "from falcon.env import apply; apply(); import getpass, os;"
        "print(getpass.getuser(), os.environ['HOME'])"
    )
    # The other user may read what root may: the interpreter lies in root's home here.
    may = [
        "--inh-caps=+dac_read_search,+dac_override",
        "--ambient-caps=+dac_read_search,+dac_override",
    ]
    words = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *may]
    bare = {"HOME": "/nonexistent", "USER": "", "LOGNAME": "", "LNAME": "", "USERNAME": ""}
    done = sh(shared.root, *words, sys.executable, "-c", code, **bare)
    assert done.stdout.split() == ["user-54321", str(shared.state / "home")], done.stderr


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1"])
def test_texts_are_utf_8_in_any_locale(shared: Workspace, tmp_path: Path, locale: str) -> None:
    file = tmp_path / "ü.txt"
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('größer')"
    done = sh(shared.root, sys.executable, "-c", code, str(file), LC_ALL=locale)
    assert done.returncode == 0, done.stderr
    assert file.read_text(encoding="utf-8") == "größer"


def test_a_process_is_told_apart_without_the_time_of_day() -> None:
    me = ProcessId.here()
    with Path("/proc/uptime").open() as file:
        assert me.born < float(file.read().split()[0]) * os.sysconf("SC_CLK_TCK")
    assert not me.is_dead
    assert ProcessId(me.pid, me.born - 1, me.host).is_dead
    assert not ProcessId(me.pid, me.born - 1, "elsewhere").is_dead


def test_a_server_for_others_answers_to_this_machine_s_names() -> None:
    from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

    hosts, origins = names("tracker.example.org", 5000)
    allowed = hosts.split(",")
    for host in ("tracker.example.org:5000", "tracker.example.org", "localhost:5000", "10.0.0.1"):
        assert is_allowed_host_header(allowed, host)
    assert not is_allowed_host_header(allowed, "evil.example.org:5000")
    page = "http://tracker.example.org:5000"
    assert not should_block_cors_request(page, "POST", origins.split(","))
    assert should_block_cors_request("http://evil.example.org", "POST", origins.split(","))
