"""The template process: forks one child for each program and never reads a payload.

A request is one byte and the child's file descriptors; the answer is how the child ended.
It judges nothing: time and verdicts are the worker's. In a process namespace it is process
1, so its end takes everything with it.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import importlib
import os
import random
import signal
import socket
from typing import Any

from . import child, jail, linux, seccomp

_PRELOAD = (
    "array", "bisect", "collections", "collections.abc", "copy", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "heapq", "io", "itertools", "math", "operator",
    "random", "re", "string", "threading", "typing",
)  # fmt: skip


def _preload(extra: list[str]) -> None:
    import _sitebuiltins

    # The interpreter runs without `site`, which would have defined these two.
    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    for name in (*_PRELOAD, *extra):
        importlib.import_module(name)
    child.set_reserve()


class Zygote:
    """Serves fork requests on ``control`` until it closes."""

    def __init__(self, control: socket.socket, config: dict[str, Any], fork: Any, null: int):
        self.control = control
        self.namespaced = config["level"] == "L3"
        self.fork = fork
        self.null = null
        self.kill = ctypes.PyDLL(None).kill

    def serve(self) -> None:
        """Loop; returns when the worker closes its end."""
        while True:
            request, fds, _, _ = socket.recv_fds(self.control, 8, 3)
            if not request:
                return
            self._one(fds)

    def _one(self, fds: list[int]) -> None:
        me = os.getpid()
        pid = self.fork()
        if not pid:
            self._in_child(fds, me)
        for fd in fds:
            os.close(fd)
        _, status, usage = os.wait4(pid, 0)
        if self.namespaced:
            # No process at all beside us, not even a dead one, is what a refusal means.
            while self.kill(-1, signal.SIGKILL) == 0:
                os.waitpid(-1, 0)
            jail.wipe_scratch()
        cpu = usage.ru_utime + usage.ru_stime
        self.control.send(jail.pack_status(status, cpu, usage.ru_maxrss))

    def _in_child(self, fds: list[int], parent: int) -> None:
        try:
            if not self.namespaced:
                linux.die_with_parent(parent)
                seccomp.install_child()
            channel = fds[0]
            stdin = fds[1] if len(fds) == 3 else self.null
            stdout = fds[2] if len(fds) == 3 else self.null
            child.main(channel, stdin, stdout)
        finally:
            os._exit(1)


def run(control: socket.socket, config: dict[str, Any]) -> None:
    """Confine this process, say so, and serve. Called in a single-threaded interpreter."""
    jail.add_packages(config["packages"])
    _preload(config["preload"])
    raw = linux.RawFork()
    launcher = os.getpid()
    jail.separate(config, processes=True)
    namespaced = config["level"] == "L3"
    if namespaced:
        _become_init(control, launcher)
    else:
        linux.die_with_parent(config["parent"])
    # Opened first: without Landlock the filter refuses every open for writing.
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    jail.confine(config, stack=not namespaced)
    jail.clean_interpreter(config["packages"])
    random.seed(0)  # after the fork above, which seeds anew
    gc.collect()
    gc.freeze()
    zygote = Zygote(control, config, raw, null)
    control.send(b"ready")
    zygote.serve()


def _become_init(control: socket.socket, launcher: int) -> None:
    """Go on as process 1 of the new namespace; the launcher stays to be its parent."""
    alive, gone = os.pipe()
    pid = os.fork()
    if pid:
        os.close(alive)
        control.close()
        linux.die_with_parent(0)
        os.waitpid(pid, 0)
        os._exit(0)
    os.close(gone)
    linux.die_with_parent(0)
    os.set_blocking(alive, False)
    try:
        if os.read(alive, 1) == b"":
            os._exit(1)
    except BlockingIOError:
        pass
    os.close(alive)
