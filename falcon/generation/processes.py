"""Work in processes forked from this one, each on a core of its own.

Threads of one Python process take turns at its lock, and a step of decoding is a thousand small
operations: two threads lose a quarter of their time. A forked process has weights and adapters as
they stand here, without loading or copying them; what it changes stays its own. It must not start
teams of threads for its products: the library's team is not there after a fork.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from falcon.errors import UserError
from falcon.sandbox.confined.jail import linux

T = TypeVar("T")
Tell = Callable[[Any], None]

BEGIN_S = 30.0
"""A process that has not begun after so long never will: at the fork another thread held a lock,
which nobody in the new process can give back."""


@dataclass
class _Process:
    pid: int
    link: Connection
    code: int | None = None

    def end(self) -> None:
        """Let it be gone, whatever it is doing."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """How it ended: the number of its signal, below 0."""
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.link.close()
        return self.code


def in_processes(
    items: Sequence[T],
    begin: Callable[[], None],
    work: Callable[[T, Tell], None],
    hear: Callable[[Any], None],
) -> bool:
    """``work(item, tell)`` of each item, each in a process; ``hear`` gets here what it tells.

    ``begin`` is called in each process first, and takes the locks that ``work`` will need. False,
    with nothing heard, if that cannot be done in a fork of this process. What ``work`` raises is
    raised here, and all processes are ended then. Raises UserError when one is killed.
    """
    processes: list[_Process] = []
    try:
        for item in items:
            processes.append(_fork(item, begin, work))
        if not all(process.link.poll(BEGIN_S) for process in processes):
            return False
        at_work = list(processes)
        while at_work:
            ready = wait([process.link for process in at_work])
            for process in [each for each in at_work if each.link in ready]:
                kind, value = _received(process)
                if kind == "told":
                    hear(value)
                elif kind == "failed":
                    raise value
                elif kind == "done":
                    at_work.remove(process)
        return True
    finally:
        for process in processes:
            process.end()


def _received(process: _Process) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = process.link.recv()
    except EOFError:
        raise UserError(
            f"A process that writes programs was ended by signal {-process.wait()}.",
            hint="If memory was short: lower sampling.batch_size or benchmark.batch_size.",
        ) from None
    return message


def _fork(item: T, begin: Callable[[], None], work: Callable[[T, Tell], None]) -> _Process:
    here, there = Pipe(duplex=False)
    parent = os.getpid()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that hold locks: see `begin`.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        there.close()
        return _Process(pid, here)
    try:
        _settle(there, parent)
        begin()
        there.send(("begun", None))
        work(item, lambda value: there.send(("told", value)))
        there.send(("done", None))
    except BaseException as error:  # noqa: BLE001 - raised in the other process
        _send_failure(there, error)
    finally:
        os._exit(0)  # nothing of the other process is to be flushed or tidied up here


def _send_failure(link: Connection, error: BaseException) -> None:
    text = traceback.format_exc()
    error.add_note(text)
    try:
        link.send(("failed", error))
    except (pickle.PicklingError, TypeError, AttributeError):  # it holds what cannot be sent
        link.send(("failed", RuntimeError(text)))


def _settle(link: Connection, parent: int) -> None:
    """What a fork shares with its parent is left alone."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died meanwhile
        os._exit(1)
    gc.disable()  # objects of the parent are not to be finalised twice
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Held here, an end of a pipe or a lock would outlive the parent's.
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number != link.fileno():
            with contextlib.suppress(OSError):  # the one of the listing itself
                os.close(number)
