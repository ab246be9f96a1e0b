"""DVC: run one stage or another DVC command in a child process.

DVC alone decides whether a stage is up to date.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from falcon.env import apply
from falcon.errors import UserError
from tasks.support.child_process import run_lines
from tasks.support.dvc_files import data_version
from tasks.support.errors import StageFailed

How = Literal["ran", "up to date", "restored"]
"""``restored``: DVC had the same inputs before and took the results from its cache."""

_LINES: tuple[tuple[str, How], ...] = (
    (r"Running stage '", "ran"),
    (r"Stage '.*' is cached - skipping run", "restored"),
    (r"Stage '.*' didn't change, skipping", "up to date"),
)


def _command(*words: str) -> list[str]:
    """A command of the DVC of this installation, whatever PATH says."""
    return [sys.executable, "-m", "dvc", *words]


def _environment(root: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a child: ours, with this installation's commands first on PATH."""
    env = dict(os.environ)
    apply(root, env)
    env["PYTHONUNBUFFERED"] = "1"  # lines arrive when they are printed
    env.update(extra or {})
    return env


def run(root: Path, *words: str, on_line: Callable[[str], None] | None = None) -> str:
    """Run a DVC command to its end and give its output. Raises UserError when it fails."""
    code, lines = run_lines(_command(*words), root, _environment(root), on_line or (lambda _: None))
    if code:
        error = next((line for line in reversed(lines) if line.startswith("ERROR")), "")
        raise UserError(f"dvc {' '.join(words)} failed: {error.removeprefix('ERROR: ')}")
    return "\n".join(lines)


def repro(
    root: Path,
    stage: str,
    *,
    force: bool = False,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> How:
    """Run ``dvc repro --single-item STAGE``; tells whether the stage ran.

    The child stays in our session, so Ctrl-C reaches it too. Raises StageFailed when the stage
    or DVC fails.
    """
    how: How = "up to date"

    def watch(line: str) -> None:
        nonlocal how
        how = next((result for start, result in _LINES if re.match(start, line)), how)
        if on_line is not None:
            on_line(line)

    words = _command("repro", "--single-item", *(["--force"] if force else []), stage)
    code, lines = run_lines(words, root, _environment(root, env), watch)
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
    errors = [text for text in texts if text.startswith("ERROR")]
    return (own or errors or texts or ["it printed nothing"])[-1]


def is_stale(root: Path, *stages: str) -> bool:
    """Whether any stage would run, or any of the named ones. Takes about a second."""
    text = run(root, "status", "--json", *stages)
    return bool(json.loads(text.splitlines()[-1] if text else "{}"))


def ensure_data(root: Path, on_line: Callable[[str], None] | None = None) -> str:
    """Pull the data that ``data.dvc`` names when it is missing; give its version.

    Raises UserError when ``data/`` is not what ``data.dvc`` says: a run would be filed under
    a data version it did not use.
    """
    version = data_version(root)
    if not (root / "data").is_dir():
        run(root, "pull", "data.dvc", on_line=on_line)
    elif is_stale(root, "data.dvc"):
        raise UserError(
            f"{root / 'data'} differs from data.dvc.",
            hint="Keep the change with `dvc add data`, or undo it with `dvc checkout data.dvc`.",
        )
    return version
