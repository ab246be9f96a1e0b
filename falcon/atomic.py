"""Files that appear whole or not at all, also after a crash."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, force it to the disk and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())  # before the rename, else a crash may leave an empty file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
