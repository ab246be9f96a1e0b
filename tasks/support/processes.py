"""Processes: the others of a training that several processes of this machine share.

The stage itself is the first of them: it alone has the MLflow run, writes results and ends with
an exit code. The others run the same command with ``RANK`` above 0 and say what they have to
say in a log of their own. Who starts the processes otherwise (``accelerate launch`` or
``torch.distributed.run``, on one machine or on several) sets the same variables; then none
are started here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falcon.errors import UserError

LAST_WORDS_S = 20.0
"""How long the others may take to end once the first has."""


def rank() -> int:
    """Number of this process among those that were launched together; 0 for one alone."""
    return int(os.environ.get("RANK", "0"))


def log_of(state: Path, number: int) -> Path:
    """Where process ``number`` of a training says what it has to say."""
    return state / "processes" / f"train-{number}.log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _threads(count: int) -> str:
    return str(max(1, len(os.sched_getaffinity(0)) // count))


@contextmanager
def launched(state: Path, count: int) -> Iterator[None]:
    """Start the others, so that ``count`` processes run the block's training; end them with it.

    Nothing is started where somebody else has launched this process as one of several. Raises
    UserError with its last words when one of them failed.
    """
    if count == 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", _threads(count)),
    }
    own = {**shared, "RANK": "0", "LOCAL_RANK": "0"}
    before = {name: os.environ.get(name) for name in own}
    others = [_start(state, number, shared) for number in range(1, count)]
    os.environ.update(own)
    try:
        _use_threads(int(shared["OMP_NUM_THREADS"]))
        yield
    except UserError:
        raise  # All of them saw the same.
    except Exception as fault:
        failed = _failed(others)
        if failed is None:
            raise
        raise UserError(
            f"Process {failed} of {count} of the training failed: {_last_line(state, failed)}",
            hint=f"All it said is in {log_of(state, failed)}.",
        ) from fault
    finally:
        for process in others:
            if process.poll() is None:
                try:
                    process.wait(LAST_WORDS_S if sys.exc_info()[0] is None else 1.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(state: Path, number: int, shared: dict[str, str]) -> subprocess.Popen[bytes]:
    log = log_of(state, number)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks", "train"],
            env={**os.environ, **shared, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _failed(others: list[subprocess.Popen[bytes]]) -> int | None:
    """Number of the first that ended with a fault; the first process may have noticed it sooner."""
    for number, process in enumerate(others, start=1):
        try:
            if process.wait(LAST_WORDS_S) != 0:
                return number
        except subprocess.TimeoutExpired:
            continue
    return None


def _last_line(state: Path, number: int) -> str:
    lines = log_of(state, number).read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"
