"""What cannot be right is named when a memory is opened, and nothing is overwritten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon.errors import UserError
from falcon.memory import HashEncoder, LongTermMemory
from falcon.memory.log import segment_name

NOBODY = 65534
CODE = """
import mmap, os, sys
from pathlib import Path
from falcon.errors import UserError
from falcon.memory import HashEncoder, LongTermMemory
if os.getuid() == 0:
    os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
folder = Path(sys.argv[1])
try:
    LongTermMemory.open(folder, HashEncoder(), writable=True)
except UserError as fault:
    print(fault.message)
with LongTermMemory.open(folder, HashEncoder()) as memory:
    hits = memory.recall("Task 3", k=2, min_similarity=-1)
    print(len(memory), [h.experience.origin.step for h in hits], memory.update_index().exact)
"""


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def public(filled: Path) -> Iterator[Path]:
    """The memory where others may look; pytest closes the folders above its own ones."""
    with tempfile.TemporaryDirectory() as room:
        shutil.copytree(filled.parent, Path(room, "place"))
        Path(room).chmod(0o755)
        yield Path(room, "place", filled.name)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_read_only_folder_can_be_read_and_not_written(
    public: Path, encoder, indexed: bool
) -> None:
    """As another user, to whom the folders are closed: what a read-only disk does, too."""
    filled = public
    with LongTermMemory.open(filled, encoder) as memory:
        expected = memory.recall("Task 3", k=2, min_similarity=-1)
    if not indexed:
        shutil.rmtree(filled.parent / "memory.index")
    opened = [filled.parent, *filled.parent.rglob("*")]
    for path in opened:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(filled.parent)
    code = CODE.format(nobody=NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", code, str(filled)], capture_output=True, text=True, check=False
    )
    for path in opened:
        path.chmod(0o755 if path.is_dir() else 0o644)
    if "Permission denied" in done.stderr and "prefix" in done.stderr:
        pytest.skip("another user cannot read the interpreter here")
    assert done.returncode == 0, done.stderr
    refused, recalled = done.stdout.splitlines()
    assert refused == f"{filled}: this memory cannot be opened (Permission denied)."
    steps = [h.experience.origin.step for h in expected]
    assert recalled == f"12 {steps} True"
    assert tree(filled.parent) == before


@pytest.mark.parametrize("cut", [5, 200])
def test_a_truncated_log_is_named_and_only_a_writer_cuts_it(
    filled: Path, encoder, make, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    path = filled / segment_name(1)
    os.truncate(path, path.stat().st_size - cut)
    left = path.read_bytes()
    with LongTermMemory.open(filled, encoder) as memory:
        assert len(memory) == 11
        assert f"{path}, line 12: " in memory.torn
        assert memory.torn.endswith("bytes of a torn record")
    assert path.read_bytes() == left
    assert f"{memory.torn} are ignored" in caplog.text
    with LongTermMemory.open(filled, encoder, writable=True) as memory:
        memory.append([make(70)])
    assert "are cut off" in caplog.text
    with LongTermMemory.open(filled, encoder) as memory:
        assert (memory.torn, [e.origin.step for e in memory][-2:]) == ("", [10, 70])


def test_an_index_that_does_not_fit_is_named(filled, tmp_path, encoder, make, caplog) -> None:
    caplog.set_level("INFO", "falcon.memory")
    index = filled.parent / "memory.index"
    with LongTermMemory.open(filled, encoder) as memory:
        memory.update_index()
    with LongTermMemory.open(filled, HashEncoder(32)) as memory:
        memory.update_index()
    assert f"{index}: made with encoder hash, not hash-32; the index is rebuilt" in caplog.text
    with LongTermMemory.open(
        tmp_path / "other", HashEncoder(32), writable=True, index=index
    ) as memory:
        memory.append([make(3)])
        memory.update_index()
    assert f"{index}: made of another log; the index is rebuilt" in caplog.text
    (index / "state.json").write_text("{}")
    with LongTermMemory.open(filled, encoder) as memory:
        memory.update_index()
    assert f"{index}: its state is damaged; the index is rebuilt" in caplog.text


def test_an_encoder_of_the_same_name_and_another_size_is_named(filled, encoder, caplog) -> None:
    class Wider(HashEncoder):
        def __init__(self) -> None:
            super().__init__(16)
            self.name = "hash"

    with LongTermMemory.open(filled, encoder) as memory:
        memory.update_index()
    with LongTermMemory.open(filled, Wider()) as memory:
        assert len(memory.recall("Task 3", k=2, min_similarity=-1)) == 2
    assert "made with dim 64, not 16; the index is rebuilt" in caplog.text


def test_two_writers_over_processes(filled: Path, encoder) -> None:
    code = CODE.split("with LongTermMemory")[0].replace("if os.getuid() == 0", "if False")
    with LongTermMemory.open(filled, encoder, writable=True):
        done = subprocess.run(
            [sys.executable, "-c", code.format(nobody=0), str(filled)],
            capture_output=True,
            text=True,
            check=True,
        )
        with pytest.raises(UserError, match="another writer"):
            LongTermMemory.open(filled, encoder, writable=True)
    assert "another writer has this memory open (held by process" in done.stdout
