"""The system calls a confined process may make: an allow-list, everything else EPERM.

x86_64. The filter is installed once in a zygote and inherited: a filter for each child would
cost 0.2 ms. It refuses all that makes a process, but a clone with the zygote's key, which makes no
namespace (``linux.RawFork``). Where no process namespace bounds a program that finds the key, each
child adds a small filter of its own.
"""

import ctypes
import errno
import os
import struct

from . import linux

_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_DONE = 0x00050000  # error 0: the caller is told that it was done
_AUDIT = 0xC000003E  # AUDIT_ARCH_X86_64
# Classic BPF; a jump skips as many instructions as it says, counted from the one after it.
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH = 0, 4  # offsets in struct seccomp_data

_FREE = (
    # read write close fstat poll lseek mmap mprotect munmap brk signals pread pwrite readv
    # writev ... futex clock_gettime exit_group newfstatat getrandom
    *(0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 202, 228, 231, 262, 318),
    # stat lstat access pipe select yield mremap msync mincore madvise dup dup2 pause sleep
    *(4, 6, 21, 22, 23, 24, 25, 26, 27, 28, 32, 33, 34, 35, 36, 37, 38, 39),
    # sendfile sendto recvfrom recvmsg shutdown names getsockopt exit wait4 kill uname. No sendmsg:
    # sockets that are sent hold memory beyond RLIMIT_NOFILE. No setsockopt: larger buffers.
    *(40, 44, 45, 47, 48, 51, 52, 55, 60, 61, 62, 63),
    # fsync fdatasync getdents getcwd chdir fchdir readlink umask times rlimit usage sysinfo
    *(74, 75, 77, 78, 79, 80, 81, 89, 95, 96, 97, 98, 99, 100),
    # ids, pending signals, sigaltstack, statfs, priorities, scheduler reads
    *(102, 104, 107, 108, 110, 111, 115, 118, 120, 121, 124, 125, 127, 128, 130, 131),
    *(137, 138, 140, 143, 145, 146, 147, 148, 158, 186, 201, 204, 217, 218, 219),
    # clocks, epoll, tgkill, waitid, readlinkat, faccessat, pselect, ppoll, robust lists
    *(229, 230, 232, 233, 234, 247, 267, 269, 270, 271, 273, 274, 281, 290, 291, 292, 293),
    # preadv pwritev membarrier statx rseq close_range faccessat2 epoll_pwait2 futex_waitv
    *(295, 296, 324, 332, 334, 436, 439, 441, 449),
)
_CLONE3, _SETAFFINITY = 435, 203
# truncate rename mkdir rmdir unlink, mkdirat unlinkat renameat renameat2
_PATH_WRITES = (76, 82, 83, 84, 87, 258, 263, 264, 316)
_OPEN, _OPENAT, _OPENAT2 = 2, 257, 437
_IOCTL, _FCNTL, _SOCKETPAIR, _CLONE, _PRCTL, _PRLIMIT = 16, 72, 53, 56, 157, 302
# TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_DUPFD_CLOEXEC F_GETPIPE_SZ F_GET_SEALS. What
# else there is sends signals, makes a pipe larger, or sets locks, which hold memory.
_FCNTLS = (0, 1, 2, 3, 4, 5, 1030, 1032, 1034)
_F_SETLK, _F_SETLKW = 6, 7
_PR_GET_NAME, _RLIMIT_STACK = 16, 3
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# An instruction: code, lines to skip if true, lines to skip if false, operand.
_Line = tuple[int, int, int, int]


class _Code:
    """A filter; it begins with what all of them share."""

    def __init__(self) -> None:
        # The tables are for x86_64: a 32-bit call (int 0x80) has other numbers.
        self.out: list[_Line] = [(_LD, 0, 0, _ARCH), (_JEQ, 1, 0, _AUDIT), (_RET, 0, 0, _KILL)]
        # Bit 30 marks the x32 variants of all calls.
        self.out += [(_LD, 0, 0, _NR), (_JGE, 0, 1, 1 << 30), (_RET, 0, 0, _ENOSYS)]

    def on(self, number: int, body: list[_Line]) -> None:
        """Run ``body`` for one call; a body must return in all its branches."""
        self.out += [(_JEQ, 0, len(body), number), *body]  # another call: behind the body

    def install(self, otherwise: int) -> None:
        """Filter from now on; ``otherwise`` is what all other calls get."""
        lines = [*self.out, (_RET, 0, 0, otherwise)]
        blob = b"".join(struct.pack("HBBI", *line) for line in lines)
        buffer = ctypes.create_string_buffer(blob, len(blob))
        # struct sock_fprog: a short, six bytes of padding, a pointer
        program = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(buffer))
        linux.prctl(linux.PR_SET_SECCOMP, 2, ctypes.c_char_p(program))  # 2: MODE_FILTER


def _arg(index: int) -> int:
    """Offset of the low word of an argument: they are 64 bits wide, little end first."""
    return 16 + 8 * index


def _one_of(index: int, values: tuple[int, ...], *, allow: bool) -> list[_Line]:
    """Return allow (or refuse) when the low word of an argument is one of ``values``."""
    hit, miss = (_ALLOW, _EPERM) if allow else (_EPERM, _ALLOW)
    body = [(_LD, 0, 0, _arg(index))]
    for at, value in enumerate(values):
        body.append((_JEQ, len(values) - at, 0, value))  # over the other values and the miss
    return [*body, (_RET, 0, 0, miss), (_RET, 0, 0, hit)]


def _bits(index: int, mask: int, *, allow: bool) -> list[_Line]:
    """Return allow (or refuse) when an argument has any bit of ``mask``."""
    hit, miss = (_ALLOW, _EPERM) if allow else (_EPERM, _ALLOW)
    return [(_LD, 0, 0, _arg(index)), (_JSET, 1, 0, mask), (_RET, 0, 0, miss), (_RET, 0, 0, hit)]


# A program is one process: no lock of its own is ever in its way.
_FILE_CONTROL = [
    (_LD, 0, 0, _arg(1)),
    (_JEQ, 1, 0, _F_SETLK),
    (_JEQ, 0, 1, _F_SETLKW),
    (_RET, 0, 0, _DONE),
    *_one_of(1, _FCNTLS, allow=True),
]
# prlimit may read limits, never set one: the new-limit pointer must be null. Programs that ask for
# a larger stack are told that they have it; the one they have is large.
_READ_LIMIT = [
    (_LD, 0, 0, _arg(2)),
    (_JEQ, 0, 3, 0),  # low word
    (_LD, 0, 0, _arg(2) + 4),  # high word
    (_JEQ, 0, 1, 0),
    (_RET, 0, 0, _ALLOW),
    (_LD, 0, 0, _arg(1)),
    (_JEQ, 0, 1, _RLIMIT_STACK),
    (_RET, 0, 0, _DONE),
    (_RET, 0, 0, _EPERM),
]


def install(*, writes: bool, stack: bool, fork: linux.RawFork | None) -> None:
    """Install the base filter in this process. Needs no_new_privs.

    ``writes=False`` also refuses every open for writing and every change of a path (for kernels
    without Landlock); ``stack`` leaves room for :func:`install_child`; ``fork`` may be used.
    """
    code = _Code()
    for number in (*_FREE, *(_PATH_WRITES if writes else ())):
        code.on(number, [(_RET, 0, 0, _ALLOW)])
    if writes:
        code.on(_OPEN, [(_RET, 0, 0, _ALLOW)])
        code.on(_OPENAT, [(_RET, 0, 0, _ALLOW)])
    else:
        code.on(_OPEN, _bits(1, _WRITING, allow=False))
        code.on(_OPENAT, _bits(2, _WRITING, allow=False))
    # Its flags are in memory, where a filter cannot look; glibc falls back to openat.
    code.on(_OPENAT2, [(_RET, 0, 0, _ENOSYS)])
    code.on(_IOCTL, _one_of(1, _IOCTLS, allow=True))
    code.on(_FCNTL, _FILE_CONTROL)
    code.on(_CLONE, _threads_and(fork))
    # Its flags are in memory as well: glibc falls back to clone.
    code.on(_CLONE3, [(_RET, 0, 0, _ENOSYS)])
    # Of itself alone: what is set for a zygote stays for all programs to come.
    code.on(_SETAFFINITY, _one_of(0, (0,), allow=True))
    later = (linux.PR_SET_PDEATHSIG, linux.PR_SET_SECCOMP) if stack else ()
    code.on(_PRCTL, _one_of(0, (linux.PR_SET_NAME, _PR_GET_NAME, *later), allow=True))
    # AF_UNIX streams only: a datagram socket could be sent to a path outside.
    pair = [(_LD, 0, 0, _arg(0)), (_JEQ, 1, 0, 1), (_RET, 0, 0, _EPERM)]
    streams = tuple(1 | more | wait for wait in (0, os.O_NONBLOCK) for more in (0, os.O_CLOEXEC))
    code.on(_SOCKETPAIR, [*pair, *_one_of(1, streams, allow=True)])
    code.on(_PRLIMIT, _READ_LIMIT)
    code.install(_EPERM)


def _threads_and(fork: linux.RawFork | None) -> list[_Line]:
    """Allow clone of threads, and of processes with the key of ``fork``."""
    if fork is None:
        return _bits(0, linux.CLONE_THREAD, allow=True)
    low, high = fork.key & 0xFFFFFFFF, fork.key >> 32
    return [
        (_LD, 0, 0, _arg(0)),
        (_JSET, 7, 0, linux.CLONE_THREAD),
        (_JEQ, 0, 5, fork.flags),
        (_LD, 0, 0, _arg(2)),
        (_JEQ, 0, 3, low),
        (_LD, 0, 0, _arg(2) + 4),
        (_JEQ, 0, 1, high),
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _EPERM),
        (_RET, 0, 0, _ALLOW),
    ]


def install_child() -> None:
    """The small filter of a child without a process namespace: no new process by any call,
    and signals to itself alone."""
    me = os.getpid()
    code = _Code()
    code.on(_CLONE, _bits(0, linux.CLONE_THREAD, allow=True))
    code.on(_PRCTL, _one_of(0, (linux.PR_SET_NAME, _PR_GET_NAME), allow=True))
    for number in (62, 234):  # kill, tgkill
        code.on(number, _one_of(0, (me,), allow=True))
    code.install(_ALLOW)
