"""How much room a program has under the default limits."""

from __future__ import annotations

import pytest
from cases import one

from falcon.config import Settings
from falcon.sandbox import Program, Sandbox

_THREADS = """
import threading
def f(n):
    gate = threading.Barrier(n)
    threads = [threading.Thread(target=gate.wait) for _ in range(n)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return n
"""


@pytest.mark.parametrize("level", ["L3", "L2"])
def test_thirty_threads(level: str) -> None:
    settings = Settings().changed({"machine.cache": False, "machine.workers": 1})
    with Sandbox(settings, level=level) as sandbox:
        assert sandbox.judge(Program(_THREADS, one(30, 30))).passed
