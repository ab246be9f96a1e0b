"""Machines that lack something: programs run all the same, or one line says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

JUDGE = """
import sys
from falcon.config import Settings
from falcon.sandbox import Program, Sandbox, probe
from falcon.suite import Call, CallSuite
suite = CallSuite(entry_point="f", calls=(Call(args=(1,), expected=2),))
with Sandbox(Settings().changed({"machine.workers": 1})) as sandbox:
    programs = [Program("def f(x):\\n    return x + 1\\n#" + "x" * 9000 + str(n), suite) for n in range(400)]
    print(sum(verdict.passed for verdict in sandbox.judge_all(programs)), sandbox.isolation)
print(*probe().reasons)
"""
RUN = [sys.executable, "-m", "falcon.cli", "sandbox", "run", "program.py", "--tests", "tests.py"]
# A filter that refuses unshare, as where user namespaces are switched off.
NO_NAMESPACES = """
from falcon.sandbox.confined.jail import linux, seccomp
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
filter = seccomp._Code()
filter.on(272, [(seccomp._RET, 0, 0, seccomp._EPERM)])
filter.install(seccomp._ALLOW)
"""


def done(
    command: list[str], folder: Path, before: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``; ``before``: shell commands in a mount namespace of its own."""
    (folder / "program.py").write_text("def f(x):\n    return x + 1\n")
    (folder / "tests.py").write_text("def test_one():\n    assert f(1) == 2\n")
    if before:
        command = ["unshare", "--mount", "sh", "-c", f'{before} && exec "$@"', "sh", *command]
    env = {**os.environ, "FALCON_CACHE": str(folder / "cache"), **variables}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def mounted() -> None:
    may = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if (
        not shutil.which("unshare")
        or subprocess.run(may, capture_output=True, check=False).returncode
    ):
        pytest.skip("nothing can be mounted here")  # fmt: skip


def judged(told: subprocess.CompletedProcess[str], level: str = "L3") -> None:
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0] == f"400 {level}"


def test_a_cache_that_cannot_be_made_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = done([sys.executable, "-c", JUDGE], tmp_path, FALCON_CACHE=str(tmp_path / "file"))
    judged(told)
    (line,) = told.stderr.splitlines()
    assert str(tmp_path / "file") in line
    assert "FALCON_CACHE" in line


@pytest.mark.parametrize("options", ["ro", "size=64k"])
def test_a_cache_on_a_full_or_closed_disk_is_named_once(
    tmp_path: Path, options: str, mounted: None
) -> None:
    (tmp_path / "cache").mkdir()
    before = f"mount -t tmpfs -o {options} none {tmp_path}/cache"
    told = done([sys.executable, "-c", JUDGE], tmp_path, before)
    judged(told)
    (line,) = told.stderr.splitlines()
    assert str(tmp_path / "cache") in line


def test_without_a_place_for_temporary_files(tmp_path: Path, mounted: None) -> None:
    before = "mount -t tmpfs -o ro none /dev/shm && mount -t tmpfs -o ro none /var/tmp"
    told = done(RUN, tmp_path, before, TMPDIR="/var/tmp")
    assert told.returncode == 0, told.stderr


def test_without_proc(tmp_path: Path, mounted: None) -> None:
    told = done(RUN, tmp_path, "mount -t tmpfs none /proc")
    (line,) = told.stderr.splitlines()
    assert told.returncode == 2
    assert "/proc is not there: mount it" in line


def test_with_few_files(tmp_path: Path) -> None:
    told = done(["sh", "-c", 'ulimit -n 40 && exec "$@"', "sh", *RUN], tmp_path)
    (line,) = told.stderr.splitlines()
    assert told.returncode == 2
    assert "`ulimit -n` must allow 128" in line
    assert "escaped" not in line


def test_without_namespaces_the_next_level_is_used_and_said(tmp_path: Path) -> None:
    told = done([sys.executable, "-c", NO_NAMESPACES + JUDGE], tmp_path)
    judged(told, "L2")
    assert "L3: the zygote could not be confined: [Errno 1] unshare" in told.stdout
