"""State of an index: which prefix of which log its collection covers, with which settings.

A file beside the collection, ``state.json``, replaced atomically. On a server the part that
changes is stored as metadata of the collection.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from falcon.files import write_whole
from falcon.memory.log import sync_folder

FILE = "state.json"


class IndexState(BaseModel):
    """What a collection holds: the ``texts`` of the first ``records`` records of a log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str
    dim: int
    neighbors: int
    construction: int
    generation: int = 0
    records: int = 0
    digest: str = ""
    texts: int = 0

    def write(self, folder: Path) -> None:
        """Replace the stored state, atomically."""
        write_whole(folder / FILE, json.dumps(self.model_dump()).encode())
        sync_folder(folder)


def read_state(folder: Path) -> IndexState | None:
    """The state of a folder; None if it is absent or unreadable: the index is then rebuilt."""
    try:
        return IndexState.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def of_note(note: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a state that a server stores."""
    return {name: note[name] for name in ("records", "digest", "texts") if name in note}


def generation_name(number: int) -> str:
    """Name of a generation's folder."""
    return f"generation-{number:06d}"
