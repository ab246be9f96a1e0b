"""DVC: run a stage or another DVC command in a child process, and read DVC's files.

DVC alone decides whether a stage is up to date. ``dvc.yaml``, ``dvc.lock`` and ``data.dvc`` are
read directly, since starting DVC takes half a second.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

from falcon.env import apply
from falcon.errors import UserError
from falcon.monitor.relay import is_relayed
from tasks.support.errors import StageFailed
from tasks.support.files import path_md5
from tasks.support.lifetime import command, is_alive, owned_environment
from tasks.support.yaml_file import read_yaml

How = Literal["ran", "up to date", "restored"]
"""``restored``: DVC had the same inputs before and took the results from its cache."""

_LINES: tuple[tuple[str, How], ...] = (
    (r"Running stage '", "ran"),
    (r"Stage '.*' is cached - skipping run", "restored"),
    (r"Stage '.*' didn't change, skipping", "up to date"),
)

KEPT_LINES = 500
"""Last lines of a command's output that are kept for messages."""


def _environment(root: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a child: ours, with this installation's commands first on PATH."""
    env = dict(os.environ)
    apply(root, env)
    env["PYTHONUNBUFFERED"] = "1"  # lines arrive when they are printed
    env.update(owned_environment())
    env.update(extra or {})
    return env


def run(root: Path, *words: str, on_line: Callable[[str], None] | None = None) -> str:
    """Run a DVC command to its end and give its output. Raises UserError when it fails."""
    code, lines = _run_lines(words, root, _environment(root), on_line or (lambda _: None))
    if code:
        message = _message(lines).removeprefix("ERROR: ").removesuffix(".")
        raise UserError(f"dvc {' '.join(words)} failed: {message}.")
    return "\n".join(lines)


def repro(
    root: Path,
    *stages: str,
    force: bool = False,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> How:
    """Run ``dvc repro --single-item STAGES``; tells whether the last one ran.

    The child stays in our session, so Ctrl-C reaches it too. Raises StageFailed when it fails.
    """
    how: How = "up to date"
    stage = stages[0]

    def watch(line: str) -> None:
        nonlocal how, stage
        if started := re.match(r"Running stage '(.+)':", line):
            stage = started[1]
        how = next((result for start, result in _LINES if re.match(start, line)), how)
        if on_line is not None:
            on_line(line)

    words = ("repro", "--single-item", *(["--force"] if force else []), *stages)
    code, lines = _run_lines(words, root, _environment(root, env), watch)
    if code:
        raise StageFailed(stage, _exit_code(lines, code), _message(lines))
    return how


def _exit_code(lines: list[str], code: int) -> int:
    """Exit code of the stage's own command; DVC ends with a code of its own."""
    matches = (re.search(r"exited with (-?\d+)", line) for line in reversed(lines))
    return next((int(match.group(1)) for match in matches if match), code)


def _message(lines: list[str]) -> str:
    """The line that says best why a stage failed: its own, else DVC's, else the last."""
    texts = [line.strip() for line in lines if line.strip()]
    own = [text.removeprefix("falcon: ") for text in texts if text.startswith("falcon:")]
    # DVC names a file of its own that is broken without "ERROR", and its lines after that.
    errors = [text for text in texts if re.match(r"ERROR|'.*' is invalid", text)]
    return (own or errors or texts or ["it printed nothing"])[-1]


def stale(root: Path, *names: str) -> frozenset[str]:
    """Names of the stages that would run, and "data.dvc" if the data are others.

    Of all, or of the named ones. Takes about a second.
    """
    text = run(root, "status", "--json", *names)
    return frozenset(json.loads(text.splitlines()[-1] if text else "{}"))


def ensure_data(
    root: Path, stale: Collection[str], on_line: Callable[[str], None] | None = None
) -> str:
    """Pull the data that ``data.dvc`` names when it is missing; give its version.

    ``stale`` is what :func:`stale` says. Raises UserError when ``data/`` is another: a run would
    be filed under data it did not use.
    """
    version = data_version(root)
    if not (root / "data").is_dir():
        run(root, "pull", "data.dvc", on_line=on_line)
    elif "data.dvc" in stale:
        raise UserError(
            f"{root / 'data'} differs from data.dvc.",
            hint="Keep the change with `dvc add data`, or undo it with `dvc checkout data.dvc`.",
        )
    return version


def dependencies(root: Path, stage: str) -> list[str]:
    """Paths a stage of ``dvc.yaml`` reads, relative to ``root``."""
    file = root / "dvc.yaml"
    try:
        return [str(path) for path in _load(file)["stages"][stage].get("deps", [])]
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{file}: there is no stage `{stage}`.", hint=_undo(file)) from None


def lock(root: Path) -> dict[str, Any]:
    """The stages of ``dvc.lock``; empty before the first run."""
    file = root / "dvc.lock"
    if not file.is_file():
        return {}
    tree = _load(file)
    if not isinstance(tree, Mapping) or not isinstance(tree.get("stages") or {}, Mapping):
        raise UserError(f"{file}: it names no stages.", hint=_undo(file))
    return dict(tree.get("stages") or {})


def is_recorded(root: Path, stage: str) -> bool:
    """Whether ``dvc.lock`` has what a stage reads and makes as it is now.

    That is DVC's own question, answered without starting it, for stages that read the whole of
    their parameter files.
    """
    entry = lock(root).get(stage) or {}
    deps, outs, params = (entry.get(kind) or [] for kind in ("deps", "outs", "params"))
    if not outs or {each["path"] for each in deps} != set(dependencies(root, stage)):
        return False
    paths = [(root / each["path"], each["md5"]) for each in (*deps, *outs)]
    return all(path.exists() and path_md5(path) == md5 for path, md5 in paths) and all(
        _load(root / name) == params[name] for name in params
    )


def _load(file: Path) -> Any:
    return read_yaml(file, hint=_undo(file))


def _undo(file: Path) -> str:
    return f"Mend it, or undo the edit: `git checkout -- {file.name}`."


def entry_hash(entry: Any) -> str:
    """sha256 of a stage's entry of ``dvc.lock``: everything it read and made."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def out_hash(root: Path, stage: str, path: str) -> str:
    """Hash that ``dvc.lock`` has for an output of a stage; "" where it has none."""
    outs = (lock(root).get(stage) or {}).get("outs") or []
    return next((str(out["md5"]) for out in outs if out["path"] == path), "")


def data_version(root: Path) -> str:
    """The data version: md5 of ``data.dvc``. Raises UserError when there is none."""
    file = root / "data.dvc"
    try:
        return str(_load(file)["outs"][0]["md5"])
    except FileNotFoundError:
        raise UserError(
            f"{file} is not there.", hint="Put data in data/ and run `dvc add data`."
        ) from None
    except (KeyError, IndexError, TypeError):
        raise UserError(f"{file}: no md5 in it.", hint="Run `dvc add data`.") from None


def _run_lines(
    words: Sequence[str], folder: Path, env: dict[str, str], on_line: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Run a DVC command and call ``on_line`` with each line; give its exit code and last lines."""
    child = subprocess.Popen(
        command("dvc", *words),  # this installation's DVC, whatever PATH says
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    # Text as Popen makes it ends lines at "\r", too.
    printed = io.TextIOWrapper(child.stdout, encoding="utf-8", errors="replace", newline="\n")
    lines: list[str] = []
    try:
        for raw in printed:
            # A progress bar redraws itself after "\r"; only its last state is a line.
            line = raw.rstrip("\n").rsplit("\r", 1)[-1]
            if not is_relayed(line):
                lines.append(line)
                del lines[:-KEPT_LINES]
            on_line(line)
        return child.wait(), lines
    except BaseException:  # also an interrupt or a cancelled flow: no child may stay behind
        _end(child)
        raise
    finally:
        printed.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Terminate the child and its descendants, and kill those that do not end in time."""
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
    end = time.monotonic() + 20.0
    while alive := [member for member in family if is_alive(member)]:
        if time.monotonic() > end:
            for member in alive:
                member.kill()
            break
        time.sleep(0.05)
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
