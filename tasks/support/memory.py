"""Memory: the long-term memory of a stage, opened with the index that all stages share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from falcon.config import MemorySettings
    from falcon.memory import LongTermMemory
    from falcon.memory.encoder import Encoder


def index_folder(state: Path) -> Path:
    """Where the search index lies; it is derived and can be deleted."""
    return state / "index" / "long_term"


def open_memory(
    folder: Path,
    encoder: Encoder,
    state: Path,
    *,
    writable: bool = False,
    copy_of: Path | None = None,
    settings: MemorySettings | None = None,
) -> LongTermMemory:
    """A long-term memory with its index under ``state``.

    With ``copy_of`` the folder is made anew as a copy of that memory.
    """
    from falcon.memory import LongTermMemory

    index = index_folder(state)
    if copy_of is not None:
        shutil.rmtree(folder, ignore_errors=True)
        with LongTermMemory.open(copy_of, encoder, index=index) as source:
            source.copy_to(folder)
    return LongTermMemory.open(folder, encoder, writable=writable, index=index, settings=settings)


def has_memory(folder: Path) -> bool:
    """Whether a folder holds a memory (and not only its README)."""
    return any(folder.glob("*.jsonl"))
