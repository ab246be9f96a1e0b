"""Child process: a command run to its end, line by line, that never outlives its parent."""

import subprocess
from collections.abc import Callable
from pathlib import Path

KEPT_LINES = 500
"""Last lines of a command's output that are kept for messages."""


def run_lines(
    words: list[str], folder: Path, env: dict[str, str], on_line: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Run a command and call ``on_line`` with each line; give its exit code and last lines."""
    child = subprocess.Popen(
        words,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        bufsize=1,
    )
    assert child.stdout is not None
    lines: list[str] = []
    try:
        for raw in child.stdout:
            # A progress bar redraws itself after "\r"; only its last state is a line.
            lines.append(raw.rstrip("\n").rsplit("\r", 1)[-1])
            del lines[:-KEPT_LINES]
            on_line(lines[-1])
        return child.wait(), lines
    except BaseException:  # also an interrupt or a cancelled flow: no child may stay behind
        _end(child)
        raise
    finally:
        child.stdout.close()


def _end(child: subprocess.Popen[str]) -> None:
    """Terminate the child and its descendants, and kill those that do not end in time."""
    import psutil

    if child.poll() is not None:
        return
    # List the descendants first: once the child is gone they belong to init and are not found.
    family = psutil.Process(child.pid).children(recursive=True)
    for member in (*family, child):
        try:
            member.terminate()
        except psutil.NoSuchProcess:
            continue
    # The stage needs some seconds to mark its run as KILLED and to end processes of its own.
    _, alive = psutil.wait_procs(family, timeout=20)
    for member in alive:
        member.kill()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
