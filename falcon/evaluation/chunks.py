"""Chunks: pieces of a benchmark kept on disk until all are there.

A chunk holds the judged samples of a few problems by one policy. It is one JSON file, named by a
digest of everything its contents depend on, so an interrupted run finds the chunks that it has
made and makes the rest. Nothing here knows models or benchmarks.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from falcon.files import write_whole

Row = dict[str, Any]


def digest(value: Any) -> str:
    """sha256 (32 hex digits) of plain data, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class ChunkStore:
    """Chunks in a folder, by key. Its other files stay as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, key: str) -> Path:
        return self.folder / f"chunk-{key}.json"

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def read(self, key: str) -> list[Row]:
        """The rows of a chunk. Raises FileNotFoundError without it."""
        rows: list[Row] = json.loads(self._path(key).read_bytes())
        return rows

    def write(self, key: str, rows: Iterable[Row]) -> None:
        """Keep a chunk, whole or not at all."""
        write_whole(self._path(key), json.dumps(list(rows), allow_nan=False).encode())

    def clear(self) -> None:
        """Remove every chunk, also of earlier settings, and the folder if it is then empty."""
        # The second pattern: temporary files of runs that were killed while writing.
        for path in (*self.folder.glob("chunk-*.json"), *self.folder.glob(".chunk-*.json.*")):
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()
