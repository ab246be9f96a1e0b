"""Probe: try in a process of its own whether the collection in a folder can be searched.

Chroma's native code may crash on a damaged file instead of raising an error. The probe runs
when the last process that opened the folder did not close it.
"""

import subprocess
import sys
from pathlib import Path

SECONDS = 300
"""A search that takes longer counts as failed."""
QUERIES = 32


def survives(folder: Path, dim: int) -> bool:
    """Whether the collection of ``folder`` can be opened and searched."""
    command = [sys.executable, "-m", __name__, str(folder), str(dim)]
    try:
        probe = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0  # negative after a signal


def main(folder: str, dim: str) -> None:
    """Open and search the collection; exit code 1 if it cannot be opened."""
    import numpy as np

    from falcon.memory.chroma import Collection

    collection = Collection.open_folder(Path(folder))
    if collection is None:
        sys.exit(1)
    queries = np.random.default_rng(0).standard_normal((QUERIES, int(dim))).astype(np.float32)
    if len(collection):
        collection.nearest(queries, min(10, len(collection)))


if __name__ == "__main__":
    main(*sys.argv[1:])
