"""Processes: the other ranks of a training that several processes of this machine share.

The stage itself is rank 0: it alone has the MLflow run, writes results and ends with an exit code.
The others run the same command with ``RANK`` above 0 and write to their own log. Launchers
(``accelerate launch``, ``torch.distributed.run``) set the same variables; then we start none.
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from falcon.errors import UserError
from tasks.support.lifetime import owned_environment

END_S = 20.0
"""Seconds the other ranks may take to end once rank 0 has."""


EXIT_FILE = "FALCON_EXIT_FILE"
"""Variable that names the file for the exit code of a launched rank 0."""


def rank() -> int:
    """Number of this process among those that were launched together; 0 for one alone."""
    return int(os.environ.get("RANK", "0"))


def log_of(state: Path, number: int) -> Path:
    """The log of process ``number`` of a training."""
    return state / "processes" / f"train-{number}.log"


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(launcher: str, state: Path) -> int:
    """Run the training by a launcher, as ``accelerate launch --config_file FILE``; its exit code.

    Launchers end with 1 whatever failed, so rank 0 leaves its own exit code in a file. Raises
    UserError for a command that does not exist.
    """
    file = state / "processes" / "train.exit"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    words = [*shlex.split(launcher), "-m", "tasks", "train"]
    try:
        done = subprocess.run(words, env={**os.environ, EXIT_FILE: str(file)}, check=False)
    except OSError as fault:
        raise UserError(
            f"machine.launcher: `{words[0]}` cannot be started ({fault.strerror}).",
            hint="As in: accelerate launch --config_file launch/machine.yaml",
        ) from None
    return int(file.read_text()) if file.is_file() else done.returncode


def leave_exit_code(code: int) -> None:
    """Tell :func:`launch` the exit code of rank 0, where it has started this process."""
    file = os.environ.get(EXIT_FILE)
    if file and rank() == 0:
        Path(file).write_text(str(code))


@contextmanager
def launched(state: Path, count: int) -> Iterator[None]:
    """Start the other ranks of ``count`` for the block's training, and end them with it.

    Nothing is started where a launcher started this process as one of several. Raises UserError
    with the last line of its log when another rank failed.
    """
    if count == 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    # Each rank gets its share of the cores: if each used all, they would slow each other.
    threads = str(max(1, len(os.sched_getaffinity(0)) // count))
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }
    own = {**shared, "RANK": "0", "LOCAL_RANK": "0"}
    before = {name: os.environ.get(name) for name in own}
    others = [_start(state, number, shared) for number in range(1, count)]
    os.environ.update(own)
    try:
        import torch  # takes seconds, in which the others start too

        torch.set_num_threads(int(shared["OMP_NUM_THREADS"]))
        yield
    except UserError:
        raise  # all ranks met the same fault, so ours says it best
    except Exception as fault:
        # Often rank 0 only notices that its peer is gone; the cause is in the peer's log.
        failed = _failed(others)
        if failed is None:
            raise
        raise UserError(
            f"Process {failed} of {count} of the training failed: {_last_line(state, failed)}",
            hint=f"Its log is {log_of(state, failed)}.",
        ) from fault
    finally:
        for process in others:
            if process.poll() is None:
                try:  # after a fault they may wait for rank 0 for ever, so they get one second
                    process.wait(END_S if sys.exc_info()[0] is None else 1.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(state: Path, number: int, shared: dict[str, str]) -> subprocess.Popen[bytes]:
    log = log_of(state, number)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks", "train"],
            env={
                **os.environ,
                **owned_environment(),
                **shared,
                "RANK": str(number),
                "LOCAL_RANK": str(number),
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def _failed(others: list[subprocess.Popen[bytes]]) -> int | None:
    """The lowest rank that ended with a fault, if any; rank 0 may have noticed it sooner."""
    for number, process in enumerate(others, start=1):
        try:
            if process.wait(END_S) != 0:
                return number
        except subprocess.TimeoutExpired:
            continue
    return None


def _last_line(state: Path, number: int) -> str:
    lines = log_of(state, number).read_text(encoding="utf-8", errors="replace").split("\n")
    texts = [line.strip() for line in lines if line.strip()]
    return texts[-1] if texts else "it printed nothing"
