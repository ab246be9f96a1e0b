"""Memory: a long-term memory of the workspace, opened as all stages open it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from falcon.config import Settings
from tasks.support.workspace import Workspace

if TYPE_CHECKING:
    from falcon.memory import LongTermMemory
    from falcon.memory.encoder import Encoder, Vectors


def open_memory(
    space: Workspace,
    settings: Settings,
    folder: Path,
    *,
    encoder: Encoder | None = None,
    writable: bool = False,
    copy_of: Path | None = None,
) -> LongTermMemory:
    """A long-term memory, with the search index that all stages share.

    ``encoder`` is that of the settings if not given. With ``copy_of`` the folder is made anew as
    a copy of that memory.
    """
    from falcon.memory import LongTermMemory, make_encoder

    encoder = encoder or make_encoder(settings.memory.encoder)
    index = space.state / "index" / "long_term"
    if copy_of is not None:
        shutil.rmtree(folder, ignore_errors=True)
        with LongTermMemory.open(copy_of, encoder, index=index) as source:
            source.copy_to(folder)
    return LongTermMemory.open(folder, encoder, writable=writable, index=index, settings=settings)


def has_memory(folder: Path) -> bool:
    """Whether a folder holds a memory (and not only its README)."""
    return any(folder.glob("*.jsonl"))


def copy_logs(source: Path, target: Path) -> None:
    """Copy a memory's log into a folder that is there: no index, no lock."""
    for log in sorted(source.glob("*.jsonl")):
        shutil.copyfile(log, target / log.name)


def memory_digest(folder: Path) -> str:
    """sha256 of a memory's contents, as ``LongTermMemory.digest`` gives it, without an encoder."""
    from falcon.memory.log import Log

    with Log.open(folder) as log:
        return log.digest()


class TimedEncoder:
    """``encoder`` with ``seconds``: time spent in it, loading its weights included."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name = encoder.name
        self.seconds = 0.0

    @property
    def dim(self) -> int:
        """Components of a vector."""
        since = time.perf_counter()
        dim = self._encoder.dim
        self.seconds += time.perf_counter() - since
        return dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32 [len(texts), dim], every row of length 1."""
        since = time.perf_counter()
        vectors = self._encoder.encode(texts)
        self.seconds += time.perf_counter() - since
        return vectors
