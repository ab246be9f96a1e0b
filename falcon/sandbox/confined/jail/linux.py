"""The Linux calls that Python does not offer, by ctypes. x86_64 only so far.

Every function raises OSError with the kernel's errno. Nothing here decides a policy.
"""

import ctypes
import os
import signal
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_THREAD, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x00010000, 0x00200000, 0x01000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 2, 4, 8, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 15, 22, 38
CAP_DAC_READ_SEARCH = 1 << 2
SYS_CLONE, SYS_CAPSET, SYS_PIVOT_ROOT, SYS_MOUNT_SETATTR = 56, 126, 155, 442
SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 444, 445, 446
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4

# PyDLL keeps the interpreter's lock across the call, which a raw fork needs.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(number: int, *args: object) -> int:
    """The raw system call. Integers are passed as 64 bit."""
    # ctypes passes an int as 32 bits; the rest of the register would be left as it was.
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *wide)), f"syscall {number}")


def prctl(option: int, *args: object) -> int:
    """prctl(2), missing arguments zero."""
    wide = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
    wide += [ctypes.c_ulong(0)] * (4 - len(wide))
    return _checked(int(_libc.prctl(option, *wide)), f"prctl {option}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    texts = (text.encode() for text in (source, target, kind))
    _checked(_libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def make_read_only(path: str, *, recursive: bool) -> None:
    """Set a mount read-only, nosuid and nodev, keeping the flags it has."""
    attributes = struct.pack("QQQQ", _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    syscall(SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, attributes, len(attributes))


def pivot_root_here() -> None:
    """Make the current directory, a mount point, the root; detach the old root."""
    # The same folder twice: the old root is mounted over the new one, and unmounted from it.
    syscall(SYS_PIVOT_ROOT, b".", b".")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount old root")
    os.chdir("/")


def capset(capabilities: int) -> None:
    """Set effective and permitted capabilities to these, inheritable to none."""
    header = struct.pack("Ii", 0x20080522, 0)
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    # Twice: effective, permitted, inheritable.
    data = struct.pack("IIIIII", low, low, 0, high, high, 0)
    syscall(SYS_CAPSET, header, data)


class RawFork:
    """fork by clone with a key, so that a seccomp filter may refuse all others.

    The key, a random number, is an argument that the kernel does not use. The child has none: who
    forks forgets it there (:meth:`forget`). ``flags``: the only ones that go with it, which make
    no namespace.

    Construct it in a process whose id is not 1: it finds where glibc keeps the thread id by
    its value. The kernel must write the child's own id there, or abort() and raise() would
    signal a thread that is not there. For a process of one thread only: Python's own hooks
    around a fork, which make locks and threads anew, are left out. They touch 240 pages, and
    the child would have to copy each.
    """

    def __init__(self) -> None:
        _libc.pthread_self.restype = ctypes.c_void_p
        base = int(_libc.pthread_self())
        # struct pthread begins here; its field `tid` is a 4-byte word within the first KiB.
        words = (ctypes.c_int * 256).from_address(base)
        tid = os.getpid()  # that of the main thread is the process's
        places = [i for i, word in enumerate(words) if word == tid]
        address = base + 4 * places[0] if places else 0
        tid_flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID if address else 0
        self.flags = tid_flags | int(signal.SIGCHLD)
        self._key = ctypes.c_ulong(int.from_bytes(os.urandom(8), "little") | 1)
        # One of its own: the default result type is an int, and __call__ converts nothing.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
        # clone: flags, stack, parent_tid (not used with these flags), child_tid, tls
        before = [ctypes.c_long(number) for number in (SYS_CLONE, self.flags, 0)]
        self._arguments = (*before, self._key, ctypes.c_long(address), ctypes.c_long(0))

    @property
    def key(self) -> int:
        """What the filter is to let pass."""
        return int(self._key.value)

    def forget(self) -> None:
        """Overwrite the key: this process cannot fork any more."""
        self._key.value = 0

    def __call__(self) -> int:
        """0 in the child, the child's process id in the parent. Raises OSError."""
        return _checked(self._syscall(*self._arguments), "clone")
