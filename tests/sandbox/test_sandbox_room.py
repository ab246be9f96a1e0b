"""How much room a program has under the default limits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import one
from limits import small

from falcon.config import Settings
from falcon.sandbox import Program, Sandbox, slot

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


@pytest.fixture
def packages_under_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that lies in /tmp, as with a virtual environment there."""
    (package,) = (each for each in slot.packages() if each.endswith("sortedcontainers"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "site-packages" / "sortedcontainers"
        shutil.copytree(package, copy)
        monkeypatch.setattr(slot, "packages", lambda: [str(copy)])
        yield copy


@pytest.mark.parametrize("level", ["L3", "L2"])
def test_packages_under_tmp_leave_the_program_its_own(level: str, packages_under_tmp: Path) -> None:
    """They are mounted elsewhere inside; below L3 there is no /tmp for programs at all."""
    program = (
        "import tempfile\nfrom sortedcontainers import SortedList\ndef f():\n"
        "    with tempfile.TemporaryFile('w+') as file:\n"
        "        file.write(str(SortedList([2, 1])))\n        file.seek(0)\n"
        "        return [tempfile.gettempdir(), file.read()]"
    )
    with Sandbox(small(workers=1), level=level) as sandbox:
        verdict = sandbox.judge(Program(program, one(["/tmp", "SortedList([1, 2])"])))
        used = sandbox.judge(Program("import sortedcontainers as s\ndef f(): return 1", one(1)))
    assert verdict.passed is (level == "L3"), verdict
    assert used.passed
