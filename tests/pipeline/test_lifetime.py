"""A process ends with the one it works for, and is told from others of its number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
from pipeline_workspace import REPOSITORY

from tasks.support.lifetime import ProcessId

OWNER = """
import os, subprocess, sys, time
from tasks.support.lifetime import command, owned_environment
child = subprocess.Popen(
    command("http.server", "0", "--bind", "127.0.0.1"),
    env={**os.environ, **owned_environment()},
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
print(child.pid, flush=True)
time.sleep(600)
"""

CARD = """
import json
from tasks.support.lifetime import ProcessId
print(json.dumps(ProcessId.here().as_json()), flush=True)
input()
"""


def gone(process: psutil.Process, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.2)
    return False


def test_a_killed_process_takes_along_what_it_started() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    child = psutil.Process(int(owner.stdout.readline()))
    # It watches once its server has a socket: before that it is still starting.
    while not child.net_connections():
        time.sleep(0.1)
    owner.kill()  # SIGKILL: it can do nothing more itself. Nor is it waited for: it is a zombie
    assert gone(child)
    owner.wait()


def test_a_process_is_told_from_a_later_one_of_its_number_and_from_those_of_other_hosts() -> None:
    me = ProcessId.here()
    assert not me.is_dead
    assert ProcessId.of({**me.as_json(), "url": "http://..."}) == me
    assert replace(me, born=me.born - 100).is_dead
    assert not replace(me, born=me.born - 100, host="elsewhere").is_dead
    child = subprocess.Popen(
        [sys.executable, "-c", CARD],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    other = ProcessId.of(json.loads(child.stdout.readline()))
    assert other.pid == child.pid
    assert not other.is_dead
    child.kill()
    assert gone(psutil.Process(child.pid))
    assert other.is_dead  # a zombie, since nobody has waited for it
    child.wait()
    assert other.is_dead
