"""Entry of a confined process: confine it, report that it is ready, and serve."""

from __future__ import annotations

import json
import os
import socket
import sys

from ..wire import launch
from .jail import confine


def start(role: str, text: str, channel: str) -> None:
    """Confine this process and serve the worker. Sends ``ready``, or why it cannot be."""
    config, fd = launch.Confinement(**json.loads(text)), int(channel)
    launch.die_with_parent(config.parent)
    sys.setrecursionlimit(5000 if role == "oracle" else 1000)
    # Each role imports its own part only: more modules would spread a zygote's objects over more
    # pages, and a child copies each page that it touches.
    try:
        if role == "zygote":
            from . import zygote

            zygote.run(socket.socket(fileno=fd), config)
        elif role == "compiler":
            from . import compiler

            _confine(config, fd)
            compiler.serve(fd)
        else:
            from . import oracle

            _confine(config, fd)
            oracle.serve(fd)
    except OSError as fault:
        os.write(fd, b"fault " + str(fault).encode())
        os._exit(3)
    os._exit(0)


def _confine(config: launch.Confinement, channel: int) -> None:
    used = confine.separate(config, processes=False)
    launch.die_with_parent(config.parent)  # once more: a change of user has cleared it
    confine.confine(config, used, stack=False)
    confine.clean_interpreter(config.packages)
    os.write(channel, b"ready")
