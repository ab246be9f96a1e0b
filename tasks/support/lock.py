"""Lock: one run at a time in a workspace, because all write the same results.

The kernel releases it when its process ends, however that ends. `dvc repro` by hand takes none:
DVC has locks of its own.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from falcon.errors import UserError
from tasks.support.workspace import Workspace

_held: dict[Path, int] = {}
"""File descriptors of the locks of this process: a command and the flow it runs share one."""


def _file(space: Workspace, name: str) -> Path:
    return space.state / f"{name}.lock"


@contextmanager
def exclusive(space: Workspace, what: str, name: str = "run") -> Iterator[None]:
    """Hold a lock of the workspace while the block runs. Raises UserError that names the holder.

    ``what`` is the command, for those who meet the lock.
    """
    file = _file(space, name)
    if file in _held:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(_card(handle)) from None
        _held[file] = handle
        _write(handle, {"what": what, "pid": os.getpid(), "since": _now()})
        yield
    finally:
        _held.pop(file, None)
        os.close(handle)


def note_stage(space: Workspace, stage: str, name: str = "run") -> None:
    """Say in the lock that this process holds, if any, which stage it is at."""
    handle = _held.get(_file(space, name))
    if handle is not None:
        _write(handle, {**_card(handle), "stage": stage})


def _now() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")


def _write(handle: int, card: dict[str, Any]) -> None:
    # In place: the lock is one of the file itself, which must not be replaced.
    text = json.dumps(card).encode()
    os.pwrite(handle, text, 0)
    os.ftruncate(handle, len(text))


def _card(handle: int) -> dict[str, Any]:
    try:
        return dict(json.loads(os.pread(handle, 4096, 0)))
    except ValueError:  # it has just been taken and says nothing yet
        return {}


def _busy(card: dict[str, Any]) -> UserError:
    pid = card.get("pid", "unknown")
    stage = f", stage `{card['stage']}`" if "stage" in card else ""
    return UserError(
        f"`{card.get('what', 'another command')}` is at work here since {card.get('since', 'now')}"
        f" (process {pid}{stage}).",
        hint=f"Wait until it has ended, or stop it with `kill {pid}`.",
    )
