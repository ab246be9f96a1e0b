"""Landlock: which files a confined process may touch, whatever its rights elsewhere.

Refuses everything that is not named. It does not mediate chmod, utime or stat (seccomp and the
mount namespace do), and it does not protect memory.
"""

import os
import struct

from . import linux

# Bits of LANDLOCK_ACCESS_FS_*.
READ_FILE, READ_DIR = 1 << 2, 1 << 3
_EXECUTE, _WRITE_FILE = 1, 2
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
# Remove folder or file; make folder, file, socket, fifo, link.
_MAKE_REMOVE = sum(1 << bit for bit in (4, 5, 7, 8, 9, 10)) | (1 << 12)
READ = READ_FILE | READ_DIR
WRITE_FILE = _WRITE_FILE | _TRUNCATE | READ_FILE
SCRATCH = READ | _WRITE_FILE | _TRUNCATE | (_MAKE_REMOVE & ~(1 << 9) & ~(1 << 10))
# The kernel refuses a rule for a file that names rights of folders.
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV


def restrict(rules: list[tuple[str, int]]) -> int:
    """Confine this process to ``rules`` (path, rights); paths that are absent are skipped.

    Returns the ABI used. Raises OSError where the kernel has no Landlock. Needs no_new_privs.
    """
    version = linux.syscall(linux.SYS_LANDLOCK_CREATE, 0, 0, 1)  # flag 1 asks for the version
    # The kernel refuses bits it does not know: 13 at first, REFER since 2, TRUNCATE since 3.
    bits = 13 + (version >= 2) + (version >= 3)
    handled = ((1 << bits) - 1) | (_IOCTL_DEV if version >= 5 else 0)
    attributes = struct.pack("Q", handled)
    if version >= 4:
        attributes += struct.pack("Q", 3)  # no TCP bind or connect
    if version >= 6:
        attributes += struct.pack("Q", 3)  # no signals nor abstract sockets to the outside
    ruleset = linux.syscall(linux.SYS_LANDLOCK_CREATE, attributes, len(attributes), 0)
    try:
        for path, rights in rules:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                if not os.path.isdir(path):
                    rights &= _FILE_RIGHTS
                rule = struct.pack("=Qi", rights & handled, place)
                linux.syscall(linux.SYS_LANDLOCK_ADD, ruleset, 1, rule, 0)
            finally:
                os.close(place)
        linux.syscall(linux.SYS_LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return version
