"""Nothing reaches for the network: a run under a guard, in a network namespace of its own.

The guard (``offline/sitecustomize.py``) sees what Python code does with sockets, in child
processes too; the namespace's own counter sees what native code tries. Where the machine
gives no namespace the guard is alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
AWAY = "192.0.2.1"  # an address that is nobody's (RFC 5737)


@cache
def namespace() -> tuple[str, ...]:
    """Words that run a command without any network but an idle loopback; none where refused."""
    words = ("unshare", "--net")
    if os.getuid() != 0:
        words = ("unshare", "--user", "--map-current-user", "--net")
    try:
        done = subprocess.run([*words, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return words if done.returncode == 0 else ()


def child(home: Path, *words: str, guard: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing of our own environment: no switch is set but by the product."""
    folders = [TESTS.parent, TESTS / "cli", TESTS / "offline"]
    environment = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, folders if guard else folders[:1])),
        "OFFLINE_TRIES": str(home / "tries"),
        "OFFLINE_NAMESPACE": "1" if namespace() else "0",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [*namespace(), sys.executable, *words],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_the_guard_refuses_and_records_what_is_not_loopback(tmp_path: Path) -> None:
    program = f"""
import socket
for attempt in (
    lambda: socket.create_connection(("{AWAY}", 80), timeout=1),
    lambda: socket.socket().connect_ex(("{AWAY}", 81)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("{AWAY}", 53)),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.gethostbyname("example.com"),
):
    try:
        attempt()
    except OSError as fault:
        assert "offline" in str(fault), fault
    else:
        raise SystemExit("it went through")
one, other = socket.socketpair()
one.send(b"x")
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError as fault:
    assert "offline" not in str(fault)
"""
    done = child(tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "tries").read_text().splitlines()
    assert len(told) == 5
    assert sum(AWAY in line for line in told) == 3
    assert sum("example" in line for line in told) == 2


def test_the_namespace_counts_what_the_guard_does_not_see(tmp_path: Path) -> None:
    if not namespace():
        pytest.skip("no network namespaces for this user")
    program = f"""
import os, runpy, socket
routes = runpy.run_path({str(TESTS / "offline" / "work.py")!r})["routes"]
assert routes() == 0
socket.socket().connect_ex(("{AWAY}", 80))
assert routes() == 1, routes()
"""
    done = child(tmp_path, "-c", program, guard=False)
    assert done.returncode == 0, done.stderr


def test_a_run_of_everything_tries_nothing(tmp_path: Path) -> None:
    root = tmp_path / "work"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").touch()
    (root / "params.yaml").write_text("memory: {top_k: 2}\n")
    (root / "dvc.yaml").write_text("stages: {one: {cmd: 'true', deps: [params.yaml]}}\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    done = child(tmp_path, str(TESTS / "offline" / "work.py"), str(root))
    tries = tmp_path / "tries"
    assert not tries.exists(), tries.read_text()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("dvc").startswith("one:")
    assert found.pop("telemetry") == dict.fromkeys(
        ("chromadb", "dvc", "hub", "huggingface_hub", "mlflow", "prefect", "prefect server"), False
    )
    assert found == {
        "settings": 2,
        "tokenizer": ["def", "\u0120add"],
        "sandbox": "pass",
        "memory": ["builtin/p2"],
        "mlflow": 0.5,
        "checks": True,
        "prefect": 4,
        "routes": 0 if namespace() else None,
    }
