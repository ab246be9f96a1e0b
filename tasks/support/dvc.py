"""DVC: run one stage in a child process, and read what ``dvc.lock`` and ``data.dvc`` say.

DVC decides whether a stage is up to date and nobody else does. The files are read
directly: starting DVC takes half a second, and only running a stage is worth that.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from falcon.env import apply
from falcon.errors import UserError

How = Literal["ran", "up to date", "restored"]
"""``restored``: DVC had the same inputs before and took the results from its cache."""

_UP_TO_DATE = re.compile(r"^Stage '.*' didn't change, skipping")
_RUNNING = re.compile(r"^Running stage '")
_RESTORED = re.compile(r"^Stage '.*' is cached - skipping run")


class StageFailed(UserError):
    """A stage's command failed. ``cause`` is the command's exit code, DVC's own where unknown."""

    exit_code = 1

    def __init__(self, stage: str, cause: int, told: str) -> None:
        self.stage = stage
        self.cause = cause
        super().__init__(f"stage `{stage}` failed (exit {cause}): {told}")

    @property
    def hopeless(self) -> bool:
        """Whether trying again is of no use: settings, data or a failed check are to blame."""
        return self.cause in (2, 3, 4)


@dataclass(frozen=True)
class Repro:
    """What became of ``dvc repro -s STAGE``."""

    stage: str
    how: How


def command(*words: str) -> list[str]:
    """The DVC of this installation, whatever PATH says."""
    return [sys.executable, "-m", "dvc", *words]


def environment(root: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a child: ours, with this installation's commands first on PATH."""
    env = dict(os.environ)
    apply(root, env)
    env["PYTHONUNBUFFERED"] = "1"
    env.update(extra or {})
    return env


def run(root: Path, *words: str, on_line: Callable[[str], None] | None = None) -> str:
    """Run a DVC command to its end and give its output. Raises UserError when it fails."""
    code, lines = _stream(root, command(*words), environment(root), on_line or (lambda _: None))
    if code:
        said = next((line for line in reversed(lines) if line.startswith("ERROR")), "")
        raise UserError(f"dvc {' '.join(words)} failed: {said.removeprefix('ERROR: ')}")
    return "\n".join(lines)


def _stream(
    root: Path, words: list[str], env: dict[str, str], on_line: Callable[[str], None]
) -> tuple[int, list[str]]:
    child = subprocess.Popen(
        words,
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        bufsize=1,
    )
    lines: list[str] = []
    try:
        assert child.stdout is not None
        for raw in child.stdout:
            line = raw.rstrip("\n").rsplit("\r", 1)[-1]
            lines.append(line)
            del lines[:-500]
            on_line(line)
        return child.wait(), lines
    except BaseException:
        _end(child)
        raise
    finally:
        if child.stdout is not None:
            child.stdout.close()


def _end(child: subprocess.Popen[str]) -> None:
    """Ask the child to stop (DVC passes it on to the stage), and insist after a while."""
    import psutil

    if child.poll() is not None:
        return
    family = psutil.Process(child.pid).children(recursive=True)
    for member in (*family, child):
        try:
            member.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(family, timeout=20)
    for member in alive:
        member.kill()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def repro(
    root: Path,
    stage: str,
    *,
    force: bool = False,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Repro:
    """Run ``dvc repro --single-item STAGE`` and tell whether the stage ran.

    The child is no session of its own, so cancelling the parent ends it too. Raises
    StageFailed when the stage or DVC fails.
    """
    how: list[How] = ["up to date"]

    def look(line: str) -> None:
        if _RUNNING.match(line):
            how.append("ran")
        elif _RESTORED.match(line):
            how.append("restored")
        elif _UP_TO_DATE.match(line):
            how.append("up to date")
        if on_line is not None:
            on_line(line)

    words = command("repro", "--single-item", *(["--force"] if force else []), stage)
    code, lines = _stream(root, words, environment(root, env), look)
    if code:
        raise StageFailed(stage, _cause(lines, code), _telling(lines))
    return Repro(stage, how[-1])


def _cause(lines: list[str], code: int) -> int:
    found = (re.search(r"exited with (-?\d+)", line) for line in reversed(lines))
    return next((int(match.group(1)) for match in found if match), code)


def _telling(lines: list[str]) -> str:
    told = [line.strip() for line in lines if line.strip()]
    ours = [line.removeprefix("falcon: ") for line in told if line.startswith("falcon:")]
    errors = [line for line in told if line.startswith("ERROR")]
    return (ours or errors or told or ["it said nothing"])[-1]


def is_stale(root: Path, *stages: str) -> bool:
    """Whether any stage would run, or any of the named ones. Takes about a second."""
    text = run(root, "status", "--json", *stages)
    return bool(json.loads(text.splitlines()[-1] if text else "{}"))


def dependencies(root: Path, stage: str) -> list[str]:
    """Paths a stage of ``dvc.yaml`` reads, relative to ``root``."""
    tree = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    return [str(path) for path in tree["stages"][stage].get("deps", [])]


def lock(root: Path) -> dict[str, Any]:
    """The stages of ``dvc.lock``; empty before the first run."""
    file = root / "dvc.lock"
    if not file.is_file():
        return {}
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    return dict(tree.get("stages") or {})


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
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        return str(tree["outs"][0]["md5"])
    except FileNotFoundError:
        raise UserError(
            f"{file} is not there.", hint="Put data in data/ and run `dvc add data`."
        ) from None
    except (KeyError, IndexError, TypeError, yaml.YAMLError):
        raise UserError(f"{file}: no md5 in it.", hint="Run `dvc add data`.") from None


def ensure_data(root: Path, on_line: Callable[[str], None] | None = None) -> str:
    """Have the data that ``data.dvc`` names, pulling it when it is missing; give its version.

    Raises UserError when ``data/`` is not what ``data.dvc`` says: a run would be filed under
    a data version it did not use.
    """
    version = data_version(root)
    if not (root / "data").is_dir():
        run(root, "pull", "data.dvc", on_line=on_line)
    elif json.loads(run(root, "status", "--json", "data.dvc").splitlines()[-1]):
        raise UserError(
            f"{root / 'data'} differs from data.dvc.",
            hint="Keep the change with `dvc add data`, or undo it with `dvc checkout data.dvc`.",
        )
    return version
