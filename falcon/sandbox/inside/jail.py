"""Confinement of one helper process: identity, namespaces, files, limits, system calls.

:func:`enter` does everything that must happen before threads and payloads; the order is
that of docs/sandbox.md. It raises OSError naming the layer that could not be had; whether
a lower level will do is decided by the trainer's side, not here.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import resource
import struct
import sys
from typing import Any

from . import landlock, linux, seccomp

UID = 61983
"""What root becomes: an id that no account is expected to have."""
_LIB_DIRS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
             "/usr/lib", "/lib")  # fmt: skip
_LIBS = ("ssl", "crypto", "sqlite3", "ffi", "lzma", "bz2", "z", "uuid", "expat", "mpdec",
         "gcc_s", "stdc++", "gfortran", "quadmath", "m", "c", "dl", "pthread", "util", "rt")  # fmt: skip
_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/dev/zero")
_NEW_ROOT = "/proc"
_STDLIB = os.path.dirname(os.path.abspath(os.__file__))


def stdlib() -> str:
    """Folder of the standard library of this interpreter."""
    return _STDLIB


def _read_dirs(packages: list[str]) -> list[str]:
    extra = [os.path.dirname(p) for p in packages]
    zones = ["/usr/share/zoneinfo"]
    libs = [os.path.realpath(d) for d in _LIB_DIRS]
    wanted = [stdlib(), *extra, *zones, *libs]
    return sorted({d for d in wanted if os.path.isdir(d)}, key=len)


def _build_root(packages: list[str]) -> None:
    """A small tmpfs with read-only views of what Python needs, then pivot into it."""
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    plain = linux.MS_NOSUID | linux.MS_NODEV
    # /proc is always there and never an ancestor of what is bound below.
    linux.mount("tmpfs", _NEW_ROOT, "tmpfs", plain, "size=4m,nr_inodes=1024,mode=755")
    kept: list[str] = []
    for source in _read_dirs(packages):
        if any(source.startswith(k + "/") for k in kept):
            continue
        os.makedirs(_NEW_ROOT + source, mode=0o755, exist_ok=True)
        linux.mount(source, _NEW_ROOT + source, "", linux.MS_BIND | linux.MS_REC)
        linux.make_read_only(_NEW_ROOT + source, recursive=True)
        kept.append(source)
    for source in _FILES:
        if os.path.exists(source):
            os.makedirs(os.path.dirname(_NEW_ROOT + source), mode=0o755, exist_ok=True)
            with open(_NEW_ROOT + source, "wb"):
                pass
            linux.mount(source, _NEW_ROOT + source, "", linux.MS_BIND)
    for name in ("/lib", "/lib64"):
        if os.path.islink(name) and not os.path.lexists(_NEW_ROOT + name):
            os.symlink(os.readlink(name), _NEW_ROOT + name)
    scratch = _NEW_ROOT + "/tmp"  # noqa: S108
    # Where packages lie under /tmp themselves, a scratch there would hide them: such programs
    # get none, and their /tmp is read-only like the rest.
    if not os.path.isdir(scratch):
        os.mkdir(scratch)
        flags = plain | linux.MS_NOEXEC
        linux.mount("tmpfs", scratch, "tmpfs", flags, "size=8m,nr_inodes=128,mode=1777")
    os.chdir(_NEW_ROOT)
    linux.pivot_root_here()
    linux.make_read_only("/", recursive=False)


def _drop_root() -> None:
    os.setgroups([])
    linux.prctl(linux.PR_SET_KEEPCAPS, 1)
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    # A process that changed its uid may not write its own id maps until it is dumpable.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)


def _map_ids(process: int, uid: int, gid: int) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=process)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _namespaces(packages: list[str], *, processes: bool) -> None:
    spaces = linux.CLONE_NEWUSER | linux.CLONE_NEWNET
    if processes:
        spaces |= linux.CLONE_NEWPID
    spaces |= linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    process = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.getuid() == 0:
            linux.unshare(linux.CLONE_NEWNS)
            _build_root(packages)
            _drop_root()
            linux.unshare(spaces)
            _map_ids(process, UID, UID)
        else:
            uid, gid = os.getuid(), os.getgid()
            linux.unshare(spaces | linux.CLONE_NEWNS)
            _map_ids(process, uid, gid)
            _build_root(packages)
    finally:
        os.close(process)


def _without_namespaces() -> None:
    if os.getuid() == 0:
        _drop_root()


def _drop_capabilities(level: str) -> None:
    """None are kept, but one to read a Python that lives under a closed home (below L3):
    Landlock then decides what may be read, and the filter refuses open_by_handle_at."""
    linux.prctl(linux.PR_SET_KEEPCAPS, 0)
    keep = 0 if level == "L3" or _readable() else linux.CAP_DAC_READ_SEARCH
    linux.capset(keep)
    if not _readable():
        raise PermissionError(13, f"{stdlib()} cannot be read by an unprivileged user")


def _readable() -> bool:
    try:
        with open(os.path.join(stdlib(), "os.py"), "rb"):
            return True
    except OSError:
        return False


def _memory_used() -> tuple[int, int]:
    with open("/proc/self/statm", encoding="ascii") as file:
        words = file.read().split()
    page = os.sysconf("SC_PAGE_SIZE")
    return int(words[0]) * page, int(words[5]) * page


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _set_limits(config: dict[str, Any], used: tuple[int, int], *, processes: bool) -> None:
    memory = int(config["memory_mib"]) << 20
    _limit(resource.RLIMIT_AS, used[0] + memory * 5 // 4 + (96 << 20))
    _limit(resource.RLIMIT_DATA, used[1] + memory)
    _limit(resource.RLIMIT_CPU, int(config["cpu_seconds"]) + 5)
    _limit(resource.RLIMIT_FSIZE, 8 << 20)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_STACK, 64 << 20)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    if processes:
        _limit(resource.RLIMIT_NPROC, 40)


def _rules(packages: list[str], *, scratch: bool) -> list[tuple[str, int]]:
    """Landlock rules. Of site-packages only the named packages: others may carry answers."""
    library = stdlib()
    rules = [(library, landlock.READ_DIR), ("/usr/share/zoneinfo", landlock.READ)]
    for name in os.listdir(library):
        if name not in ("site-packages", "dist-packages"):
            rules.append((os.path.join(library, name), landlock.READ))
    for package in packages:
        rules.append((os.path.dirname(package), landlock.READ_DIR))
        rules.append((package, landlock.READ))
        rules.append((package + ".libs", landlock.READ))
    for folder in _LIB_DIRS:
        for lib in _LIBS:
            for file in glob.glob(f"{folder}/lib{lib}.so*") + glob.glob(f"{folder}/lib{lib}-*.so*"):
                rules.append((file, landlock.READ_FILE))
    rules += [("/etc/ld.so.cache", landlock.READ_FILE), ("/dev/null", landlock.WRITE_FILE)]
    rules += [("/dev/urandom", landlock.READ_FILE), ("/dev/zero", landlock.READ_FILE)]
    if scratch and os.path.ismount("/tmp"):  # noqa: S108
        rules.append(("/tmp", landlock.SCRATCH))  # noqa: S108
    return rules


def separate(config: dict[str, Any], *, processes: bool) -> None:
    """Identity and namespaces; with ``processes`` a fork must follow, to be process 1."""
    used = _memory_used()
    config["used"] = used
    if config["level"] == "L3":
        _namespaces(config["packages"], processes=processes)
    else:
        _without_namespaces()


def confine(config: dict[str, Any], *, stack: bool) -> None:
    """The rest, in the process that stays: capabilities, limits, Landlock, seccomp.

    ``stack``: children will add a filter of their own and this process may fork.
    """
    level = config["level"]
    os.umask(0o077)
    _drop_capabilities(level)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    _set_limits(config, config["used"], processes=level == "L3")
    os.chdir("/tmp" if level == "L3" else "/")  # noqa: S108
    if level in ("L3", "L2"):
        landlock.restrict(_rules(config["packages"], scratch=level == "L3"))
    seccomp.install(writes=level in ("L3", "L2"), stack=stack)


def clean_interpreter(packages: list[str]) -> None:
    """Environment, argv and module path as a program is to see them."""
    for name in list(os.environ):
        del os.environ[name]
    os.environ.update({"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"})  # noqa: S108
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sys.argv = ["solution.py"]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [p for p in sys.path if p and p != here]
    add_packages(packages)


def add_packages(packages: list[str]) -> None:
    """Make the third-party packages importable, after everything of the standard library."""
    for folder in dict.fromkeys(os.path.dirname(package) for package in packages):
        if folder not in sys.path:
            sys.path.append(folder)


@functools.cache
def _has_scratch() -> bool:
    return os.path.ismount("/tmp")  # noqa: S108


def wipe_scratch() -> None:
    """Remove what a program left in /tmp. Raises OSError when something stays."""
    if not _has_scratch():
        return
    if not os.listdir("/tmp"):  # noqa: S108
        return
    with os.scandir("/tmp") as entries:  # noqa: S108
        names = [(e.path, e.is_dir(follow_symlinks=False)) for e in entries]
    for path, folder in names:
        if not folder:
            os.unlink(path)
            continue
        for root, dirs, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(os.path.join(root, name))
            for name in dirs:
                child = os.path.join(root, name)
                with contextlib.suppress(NotADirectoryError):
                    os.rmdir(child)
                    continue
                os.unlink(child)
        os.rmdir(path)


def pack_status(status: int, cpu: float, rss_kib: int) -> bytes:
    """What the zygote says of a child: wait status, CPU seconds, peak memory."""
    return struct.pack("!idq", status, cpu, rss_kib)


def unpack_status(data: bytes) -> tuple[int, float, int]:
    """Inverse of :func:`pack_status`."""
    status, cpu, rss = struct.unpack("!idq", data)
    return int(status), float(cpu), int(rss)
