"""The layers in their order: identity and namespaces, capabilities, limits, files, calls."""

import glob
import os
import resource
import sys

from ...wire.launch import PACKAGE, Confinement
from . import landlock, linux, namespaces, seccomp
from .namespaces import STDLIB

_LIBRARIES = ("ssl", "crypto", "sqlite3", "ffi", "lzma", "bz2", "z", "uuid", "expat", "mpdec",
              "gcc_s", "stdc++", "gfortran", "quadmath", "m", "c", "dl", "pthread", "util", "rt")  # fmt: skip


def separate(config: Confinement, *, processes: bool) -> tuple[Confinement, tuple[int, int]]:
    """Identity and namespaces; with ``processes`` a fork must follow, to be process 1.

    Returns what the confinement is to be from here on, with the packages where they are now, and
    the bytes of address space and of data in use: once /proc is gone none can read them.
    """
    with open("/proc/self/statm", encoding="ascii") as file:
        words, page = file.read().split(), os.sysconf("SC_PAGE_SIZE")
    if config.level == "L3":
        namespaces.enter(config.packages, processes=processes)
        _relocate()
        config = config._replace(packages=[*map(namespaces.inside, config.packages)])
    elif os.getuid() == 0:
        namespaces.drop_root()
    return config, (int(words[0]) * page, int(words[5]) * page)


def confine(
    config: Confinement,
    used: tuple[int, int],
    *,
    stack: bool = False,
    fork: linux.RawFork | None = None,
) -> None:
    """The rest, in the process that stays: capabilities, limits, Landlock, seccomp.

    ``stack``: children will add a filter of their own; ``fork``: what this process forks by.
    """
    namespaced, landlocked = config.level == "L3", config.level in ("L3", "L2")
    os.umask(0o077)
    _drop_capabilities(keep_reading=not namespaced)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    _set_limits(config, used, processes=namespaced)
    os.chdir("/tmp" if namespaced else "/")  # noqa: S108
    if landlocked:
        landlock.restrict(_rules(config.packages, namespaced=namespaced))
    # Last: it refuses the calls that the other layers are made of.
    seccomp.install(writes=landlocked, stack=stack, fork=fork)


def _relocate() -> None:
    """Let Python look for modules where its folders are in the private root. Those that it has
    loaded already look there for theirs."""
    sys.path[:] = map(namespaces.inside, sys.path)
    for module in list(sys.modules.values()):
        if isinstance(path := getattr(module, "__path__", None), list):
            path[:] = map(namespaces.inside, path)
    sys.path_importer_cache.clear()


def _drop_capabilities(*, keep_reading: bool) -> None:
    """None are kept, but one to read a Python that lives under a closed home (below L3):
    Landlock then decides what may be read, and the filter refuses open_by_handle_at."""
    linux.prctl(linux.PR_SET_KEEPCAPS, 0)
    stdlib = STDLIB if keep_reading else namespaces.inside(STDLIB)
    linux.capset(linux.CAP_DAC_READ_SEARCH if keep_reading and not _readable(stdlib) else 0)
    if not _readable(stdlib):
        raise PermissionError(13, f"{stdlib} cannot be read by an unprivileged user")


def _readable(stdlib: str) -> bool:
    try:
        with open(os.path.join(stdlib, "os.py"), "rb"):
            return True
    except OSError:
        return False


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _set_limits(config: Confinement, used: tuple[int, int], *, processes: bool) -> None:
    memory = config.memory_mib << 20
    # On top of what the interpreter holds. Libraries and thread stacks take address space
    # beyond the data, hence the wider bound.
    _limit(resource.RLIMIT_AS, used[0] + memory * 5 // 4 + (96 << 20))
    _limit(resource.RLIMIT_DATA, used[1] + memory)
    # A backstop: the worker's own clock is finer and knows the tests.
    _limit(resource.RLIMIT_CPU, int(config.cpu_seconds) + 5)
    _limit(resource.RLIMIT_FSIZE, 8 << 20)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_STACK, 64 << 20)
    _limit(resource.RLIMIT_SIGPENDING, 256)  # each queued real-time signal holds memory
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_MEMLOCK):
        _limit(kind, 0)
    if processes:  # without a user namespace it would count all processes of the user
        _limit(resource.RLIMIT_NPROC, 40)


def _rules(packages: list[str], *, namespaced: bool) -> list[tuple[str, int]]:
    """Landlock's rules. Of site-packages only ``packages``: others may carry answers."""
    read, file = landlock.READ, landlock.READ_FILE
    stdlib = namespaces.inside(STDLIB) if namespaced else STDLIB
    rules = [(stdlib, landlock.READ_DIR), ("/usr/share/zoneinfo", read)]
    for name in os.listdir(stdlib):
        if name not in ("site-packages", "dist-packages"):
            rules.append((os.path.join(stdlib, name), read))
    for package in packages:
        rules.append((os.path.dirname(package), landlock.READ_DIR))
        rules += [(package, read), (package + ".libs", read)]
    for name in (
        f"{folder}/lib{lib}" for folder in namespaces.LIBRARY_FOLDERS for lib in _LIBRARIES
    ):
        rules += [(path, file) for path in glob.glob(f"{name}.so*") + glob.glob(f"{name}-*.so*")]
    rules += [("/etc/ld.so.cache", file), ("/dev/null", landlock.WRITE_FILE)]
    rules += [("/dev/urandom", file), ("/dev/zero", file)]
    if namespaced:
        rules.append(("/tmp", landlock.SCRATCH))  # noqa: S108
    return rules


def clean_interpreter(packages: list[str]) -> None:
    """Leave of the environment, arguments and module path what a program may see. No module of
    ours can be imported afterwards."""
    os.environ.clear()
    # The one locale that needs no file; what Python reads and writes is UTF-8 all the same.
    os.environ.update({"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C"})  # noqa: S108
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sys.argv = ["solution.py"]
    for name, module in sys.modules.items():
        if name.partition(".")[0] == PACKAGE and hasattr(module, "__path__"):
            module.__path__ = []
    sys.path[:] = filter(None, sys.path)
    add_packages(packages)


def add_packages(packages: list[str]) -> None:
    """Make the third-party packages importable, after everything of the standard library."""
    for folder in dict.fromkeys(map(os.path.dirname, packages)):
        if folder not in sys.path:
            sys.path.append(folder)
