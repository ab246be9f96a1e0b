"""Entry of a confined helper process: ``start(role, config, fd)`` by the boot line."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

from . import compiler, jail, linux, oracle, zygote

_SERVERS = {"compiler": compiler.serve, "oracle": oracle.serve}


def _confined_server(role: str, channel: int, config: dict[str, Any]) -> None:
    jail.separate(config, processes=False)
    linux.die_with_parent(config["parent"])
    jail.confine(config, stack=False)
    jail.clean_interpreter(config["packages"])
    os.write(channel, b"ready")
    _SERVERS[role](channel, config)


def start(role: str, text: str, fd: int) -> None:
    """Confine this process as ``config`` says and serve. Says ``ready``, or why not."""
    config = json.loads(text)
    linux.die_with_parent(config["parent"])
    sys.setrecursionlimit(5000 if role == "oracle" else 1000)
    try:
        if role == "zygote":
            zygote.run(socket.socket(fileno=fd), config)
        else:
            _confined_server(role, fd, config)
    except OSError as fault:
        os.write(fd, b"fault " + str(fault).encode())
        os._exit(3)
    os._exit(0)
