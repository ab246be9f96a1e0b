"""Entry of a confined process: confine it, report that it is ready, and serve."""

from __future__ import annotations

import json
import os
import socket
import sys

from ..wire import launch
from ..wire.messages import Confinement
from . import compiler, oracle, zygote
from .jail import confine

_SERVERS = {"compiler": compiler.serve, "oracle": oracle.serve}


def _serve(role: str, channel: int, config: Confinement) -> None:
    used = confine.separate(config, processes=False)
    # Once more: a change of user clears what was asked of the kernel.
    launch.die_with_parent(config.parent)
    confine.confine(config, used, stack=False)
    confine.clean_interpreter(config.packages)
    os.write(channel, b"ready")
    _SERVERS[role](channel)


def start(role: str, text: str, channel: str) -> None:
    """Confine this process and serve the worker. Sends ``ready``, or why it cannot be."""
    config, fd = Confinement(**json.loads(text)), int(channel)
    launch.die_with_parent(config.parent)
    sys.setrecursionlimit(5000 if role == "oracle" else 1000)
    try:
        if role == "zygote":
            zygote.run(socket.socket(fileno=fd), config)
        else:
            _serve(role, fd, config)
    except OSError as fault:
        os.write(fd, b"fault " + str(fault).encode())
        os._exit(3)
    os._exit(0)
