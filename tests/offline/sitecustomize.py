"""Loaded by every interpreter started with this folder on PYTHONPATH: no network but loopback.

An audit hook sees each use of a socket by Python code, in every thread, and cannot be taken
off. What it refuses is written to the file OFFLINE_TRIES first, for code may swallow errors.
"""

import os
import sys

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
_WATCHED = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}


def _refuse(event, arguments):
    if event not in _WATCHED:
        return
    place = arguments[_WATCHED[event]]
    if isinstance(place, tuple) and place:
        place = place[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        return  # a path of a unix socket, or a socket that is connected already
    host = place.decode() if isinstance(place, bytes) else str(place or "127.0.0.1")
    if host.startswith(_LOCAL):
        return
    with open(os.environ["OFFLINE_TRIES"], "a") as log:
        log.write(f"{event} {host} by {sys.argv[:3]}\n")
    raise OSError(f"offline: {event} {host}")


sys.addaudithook(_refuse)
