"""Identity, namespaces and a root folder of its own, which shows only what Python needs."""

import os

from . import linux

STDLIB = os.path.dirname(os.path.abspath(os.__file__))
LIBRARY_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
                   "/usr/lib", "/lib")  # fmt: skip
_UID = 61983  # what root becomes: an id that no account is expected to have
_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/dev/zero")
# /proc is always there and never an ancestor of what is bound below.
_NEW_ROOT = "/proc"
_PLAIN = linux.MS_NOSUID | linux.MS_NODEV

_SCRATCH = "/tmp"  # noqa: S108
_AWAY = "/opt"


def inside(folder: str) -> str:
    """Where a folder of the host is in the private root: /tmp is the program's there, so what
    Python needs of /tmp is mounted elsewhere."""
    return _AWAY + folder if folder.startswith(_SCRATCH + "/") else folder


def enter(packages: list[str], *, processes: bool) -> None:
    """Move to new namespaces, as an ordinary user. ``processes``: also to one of processes,
    which the next fork enters."""
    spaces = linux.CLONE_NEWUSER | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if processes:
        spaces |= linux.CLONE_NEWPID
    # Kept open: the new root has no /proc, and the id maps are written there.
    process = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.getuid() == 0:
            # Root builds the root folder first: the user it becomes may not read a closed home.
            linux.unshare(linux.CLONE_NEWNS)
            _build_root(packages)
            drop_root()
            linux.unshare(spaces)
            _map_ids(process, _UID, _UID)
        else:
            uid, gid = os.getuid(), os.getgid()
            linux.unshare(spaces | linux.CLONE_NEWNS)
            _map_ids(process, uid, gid)
            _build_root(packages)
    finally:
        os.close(process)


def drop_root() -> None:
    """Become an ordinary user. Capabilities stay until they are dropped on their own."""
    try:
        os.setgroups([])
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
        os.setresgid(_UID, _UID, _UID)
        os.setresuid(_UID, _UID, _UID)
    except OSError as fault:  # root of a container that has no other user
        what = f"root cannot become user {_UID}, start as an ordinary user ({fault.strerror})"
        raise OSError(fault.errno, what) from None
    # A process that changed its uid may not write its own id maps until it is dumpable.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)


def _map_ids(process: int, uid: int, gid: int) -> None:
    # setgroups first: the kernel refuses gid_map to an ordinary user without it.
    maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
    for name, text in maps.items():
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=process)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _build_root(packages: list[str]) -> None:
    """A small tmpfs with read-only views of what Python needs, then pivot into it."""
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", _NEW_ROOT, "tmpfs", _PLAIN, "size=4m,nr_inodes=1024,mode=755")
    _bind_folders(packages)
    for source in _FILES:
        if os.path.exists(source):
            os.makedirs(os.path.dirname(_NEW_ROOT + source), mode=0o755, exist_ok=True)
            with open(_NEW_ROOT + source, "wb"):
                pass  # a file is mounted over a file
            linux.mount(source, _NEW_ROOT + source, "", linux.MS_BIND)
    for name in ("/lib", "/lib64"):
        if os.path.islink(name) and not os.path.lexists(_NEW_ROOT + name):
            os.symlink(os.readlink(name), _NEW_ROOT + name)
    os.mkdir(_NEW_ROOT + _SCRATCH)
    limits = "size=8m,nr_inodes=128,mode=1777"
    linux.mount("tmpfs", _NEW_ROOT + _SCRATCH, "tmpfs", _PLAIN | linux.MS_NOEXEC, limits)
    os.chdir(_NEW_ROOT)
    linux.pivot_root_here()
    linux.make_read_only("/", recursive=False)


def _bind_folders(packages: list[str]) -> None:
    wanted = [STDLIB, *map(os.path.dirname, packages), "/usr/share/zoneinfo"]
    wanted += map(os.path.realpath, LIBRARY_FOLDERS)
    bound: list[str] = []
    # Short paths first: what lies in a folder that is bound already needs no mount.
    for source in sorted({d for d in wanted if os.path.isdir(d)}, key=len):
        if any(source.startswith(folder + "/") for folder in bound):
            continue
        target = _NEW_ROOT + inside(source)
        os.makedirs(target, mode=0o755, exist_ok=True)
        linux.mount(source, target, "", linux.MS_BIND | linux.MS_REC)
        linux.make_read_only(target, recursive=True)
        bound.append(source)
