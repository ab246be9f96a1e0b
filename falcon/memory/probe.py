"""Probe: whether the collection in a folder can be searched, tried in a process of its own.

Chroma's native code may die of a damaged file instead of reporting it. Asked for where the
last process that had the folder open did not close it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECONDS = 300
"""After which a search that does not end counts as failed."""
QUERIES = 32


def survives(folder: Path, dim: int) -> bool:
    """Whether opening and searching the collection of ``folder`` ends well."""
    command = [sys.executable, "-m", __name__, str(folder), str(dim)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main(folder: str, dim: str) -> None:
    """Open and search, whatever comes of it."""
    import numpy as np

    from falcon.memory.chroma import Collection

    collection = Collection.found(Path(folder))
    if collection is None:
        sys.exit(1)
    queries = np.random.default_rng(0).standard_normal((QUERIES, int(dim))).astype(np.float32)
    if len(collection):
        collection.nearest(queries, min(10, len(collection)))


if __name__ == "__main__":
    main(*sys.argv[1:])
