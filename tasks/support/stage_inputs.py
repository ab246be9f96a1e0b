"""Stage inputs: what a stage reads must be the same when it ends as when it began.

DVC takes the hashes of what a stage depends on after it has ended. A result that was made while
one of them changed would be filed under the new one, so such a stage fails instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from falcon.config import FREE
from falcon.errors import UserError
from tasks.support.dvc import dependencies
from tasks.support.files import read_json
from tasks.support.stage_code import code_file, stage_code
from tasks.support.workspace import Workspace

Stamp = tuple[int, int, int]  # size, time of the last change in ns, inode


class StageInputs:
    """The inputs of a stage as they are now: files, settings and code."""

    def __init__(self, space: Workspace, stage: str) -> None:
        self._space, self._stage = space, stage
        self._code = stage_code(space, stage)
        self._files = dict(self._stamps())
        self._settings = self._own_settings()

    def require_recorded(self) -> None:
        """Raise UserError unless the code is that which DVC compares, ``outputs/code/STAGE.json``."""
        file = code_file(self._space, self._stage)
        if not file.is_file():
            raise UserError(
                f"{file} is not there, which says what code `{self._stage}` runs.",
                hint="Run `dvc repro code`, which makes it.",
            )
        changed = _first_difference(read_json(file), self._code)
        if changed:
            raise UserError(
                f"{changed} is not as it was when this run of the stages began.",
                hint=f"Give the command again; by hand: `dvc repro {self._stage}`.",
            )

    def require_unchanged(self) -> None:
        """Raise UserError when something is not as it was, with its name."""
        changed = (
            _first_difference(self._code, stage_code(self._space, self._stage))
            or _first_difference(self._files, dict(self._stamps()))
            or ("" if self._settings == self._own_settings() else "outputs/settings.yaml")
        )
        if changed:
            raise UserError(
                f"{changed} changed while `{self._stage}` ran, so its result is not accepted.",
                hint="Give the command again. With the change undone, a training goes on where it"
                " was.",
            )

    def _own_settings(self) -> str:
        return self._space.stage_settings().model_dump_json(exclude=set(FREE))

    def _stamps(self) -> Iterator[tuple[str, Stamp]]:
        for path in dependencies(self._space.root, self._stage):
            place = self._space.root / path
            files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
            for file in files:
                state = file.stat()
                name = str(file.relative_to(self._space.root))
                yield name, (state.st_size, state.st_mtime_ns, state.st_ino)


def _first_difference(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    names = (name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
    return next(names, "")
