"""The template process: forks one child for each program and never reads a program.

A request is one byte and the child's file descriptors; the answer is how the child ended. It
judges nothing: time and verdicts are the worker's. In a process namespace it is process 1, so
its end takes everything with it.
"""

import builtins
import ctypes
import gc
import importlib
import os
import signal
import socket

from ..wire import launch
from ..wire.launch import Confinement
from ..wire.messages import pack_status
from . import program_main, seeds
from .jail import confine, linux, seccomp

_SCRATCH = "/tmp"  # noqa: S108
_PRELOAD = (
    "array", "bisect", "collections", "collections.abc", "copy", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "heapq", "io", "itertools", "math", "operator",
    "random", "re", "string", "threading", "typing",
)  # fmt: skip


def _preload(config: Confinement) -> None:
    import _sitebuiltins

    # The interpreter runs without `site`, which would have defined these two.
    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    for name in (*_PRELOAD, *(("numpy", "numpy.random") if config.numpy else ())):
        importlib.import_module(name)
    program_main.set_reserve()


class Zygote:
    """Serves fork requests on ``control`` until it closes. ``null`` is an open /dev/null."""

    def __init__(
        self, control: socket.socket, fork: linux.RawFork, null: int, *, namespaced: bool
    ) -> None:
        self.control, self.fork, self.null = control, fork, null
        self.namespaced = namespaced
        self.kill = ctypes.PyDLL(None).kill

    def serve(self) -> None:
        """Loop; returns when the worker closes its end."""
        while True:
            request, fds, _, _ = socket.recv_fds(self.control, 8, 3)
            if not request:
                return
            self._run_child(fds)

    def _run_child(self, fds: list[int]) -> None:
        me = os.getpid()
        pid = self.fork()
        if not pid:
            self._in_child(fds, me)
        for fd in fds:
            os.close(fd)
        _, status, usage = os.wait4(pid, 0)
        clean = True
        if self.namespaced:
            # kill(-1) reaches all processes here but us, dead ones too until they are waited
            # for. It fails once there are none: then nothing of the program is left.
            while self.kill(-1, signal.SIGKILL) == 0:
                os.waitpid(-1, 0)
            clean = self._wipe_scratch()
        self.control.send(pack_status(status, usage.ru_utime + usage.ru_stime, clean))

    def _wipe_scratch(self) -> bool:
        """Remove what the program left in /tmp; False when something stays: folders that it made
        unreadable, or deeper than any path. No other program may see that."""
        try:
            if os.listdir(_SCRATCH):
                _empty(_SCRATCH)
        except OSError:
            return False
        return True

    def _in_child(self, fds: list[int], parent: int) -> None:
        try:
            self.fork.forget()
            if not self.namespaced:
                launch.die_with_parent(parent)
                seccomp.install_child()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # Three descriptors are channel, input and output; one is the channel alone.
            stdin, stdout = fds[1:] if len(fds) == 3 else (self.null, self.null)
            program_main.main(fds[0], stdin, stdout)
        finally:
            os._exit(1)  # never back into the loop of the zygote, whatever was raised


def _empty(top: str) -> None:
    """Remove all that is in a folder. Raises OSError when something stays."""
    for root, folders, files in os.walk(top, topdown=False):
        for path in (os.path.join(root, name) for name in files):
            os.unlink(path)
        for path in (os.path.join(root, name) for name in folders):
            (os.unlink if os.path.islink(path) else os.rmdir)(path)


def run(control: socket.socket, config: Confinement) -> None:
    """Confine this process, report that it is ready, and serve. It must have one thread."""
    confine.add_packages(config.packages)
    _preload(config)
    raw_fork = linux.RawFork()  # before it becomes process 1, see there
    config, used = confine.separate(config, processes=True)
    namespaced = config.level == "L3"
    if namespaced:
        _become_init(control)
    else:
        launch.die_with_parent(config.parent)
    # Opened first: without Landlock the filter refuses every open for writing.
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    confine.confine(config, used, stack=not namespaced, fork=raw_fork)
    confine.clean_interpreter(config.packages)
    seeds.fix(numpy=config.numpy)  # after the fork above, which seeds anew
    # Frozen objects are not visited by a child's collector, which would copy their pages.
    gc.collect()
    gc.freeze()
    # Process 1 gets only signals that it handles, and Python handles this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control.send(b"ready")
    Zygote(control, raw_fork, null, namespaced=namespaced).serve()


def _become_init(control: socket.socket) -> None:
    """Go on as process 1 of the new namespace, in a fork; the launcher only waits for it.

    A process joins its new process namespace by its children alone. Each dies with the other:
    the kernel kills the fork when the launcher ends, and the pipe tells the fork whether the
    launcher had ended before it could ask for that.
    """
    launcher_alive, held_by_launcher = os.pipe()
    pid = os.fork()
    if pid:
        os.close(launcher_alive)
        control.close()
        launch.die_with_parent(0)
        os.waitpid(pid, 0)
        os._exit(0)
    os.close(held_by_launcher)
    os.setsid()  # a program's signals to its group do not reach the launcher either
    launch.die_with_parent(0)
    os.set_blocking(launcher_alive, False)
    try:
        if os.read(launcher_alive, 1) == b"":  # end of file: the launcher is gone
            os._exit(1)
    except BlockingIOError:
        pass
    os.close(launcher_alive)
