"""Kernels without Landlock's scopes (before 6.12), emulated: sessions alone must contain signals."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from cases import ADD
from limits import small

import falcon.sandbox
from falcon.sandbox import Program, Sandbox, isolation
from falcon.sandbox.wire import launch

RIGHT = "def add(a, b):\n    return a + b"
SCOPES = "if version >= 6:"


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code of the sandbox, copied, without Landlock's scopes; processes start from it."""
    copy = tmp_path / "sandbox"
    shutil.copytree(Path(falcon.sandbox.__file__).parent, copy)
    file = copy / "confined" / "jail" / "landlock.py"
    source = file.read_text()
    assert SCOPES in source
    file.write_text(source.replace(SCOPES, "if version >= 1 << 30:"))
    monkeypatch.setattr(launch, "__file__", str(copy / "wire" / "launch.py"))
    return copy


@pytest.mark.parametrize("level", ["L3", "L2"])
@pytest.mark.parametrize("number", ["SIGSTOP", "SIGTERM", "SIGKILL", "SIGINT"])
def test_a_signal_to_the_group_reaches_no_process_of_ours(
    older: Path, level: str, number: str
) -> None:
    code = f"import os, signal\ndef add(a, b):\n    os.kill(0, signal.{number})\n    return a + b"
    with Sandbox(small(workers=1, retries=0), level=level) as running:
        assert running.judge(Program(RIGHT, ADD)).passed
        assert running.judge(Program(code, ADD)).outcome.value != "sandbox_error"
        begun = time.monotonic()
        assert running.judge(Program(RIGHT, ADD)).passed
        assert time.monotonic() - begun < 2


def test_the_canaries_see_what_a_signal_reaches(older: Path) -> None:
    """With all processes in one group again, the level does not hold."""
    assert isolation._try("L3") == ""
    for name, line in (
        ("worker/handles.py", "start_new_session=True"),
        ("confined/zygote.py", "os.setsid()"),
    ):
        file = older / name
        source = file.read_text()
        assert line in source
        file.write_text(source.replace(line, "start_new_session=False" if "=" in line else "pass"))
    assert isolation._try("L3") != ""
