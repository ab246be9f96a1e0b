"""Entry of a confined process: confine it, report that it is ready, and serve."""

import importlib
import json
import os
import socket
import sys

from ..wire import launch
from .jail import confine

# Calls that are open in a child where the first line of a program runs: it shall have the thousand
# that it has in any Python.
_OUR_FRAMES = 9


def start(role: str, text: str, channel: str) -> None:
    """Confine this process and serve the worker. Sends ``ready``, or why it cannot be."""
    config, fd = launch.Confinement(**json.loads(text)), int(channel)
    launch.die_with_parent(config.parent)
    sys.setrecursionlimit(5000 if role == "oracle" else 1000 + _OUR_FRAMES)
    try:
        # Each role imports its own part only: more modules would spread a zygote's objects over
        # more pages, and a child copies each page that it touches.
        part = importlib.import_module(f".{role}", __package__)
        if role == "zygote":
            part.run(socket.socket(fileno=fd), config)
        else:
            config, used = confine.separate(config, processes=False)
            launch.die_with_parent(config.parent)  # once more: a change of user has cleared it
            confine.confine(config, used)
            confine.clean_interpreter(config.packages)
            os.write(fd, b"ready")
            part.serve(fd)
    except OSError as fault:
        os.write(fd, b"fault " + str(fault).encode())
        os._exit(3)
    os._exit(0)
