"""Copying a log to another folder: all of it or its most valuable part, atomically.

A copy that leaves anything out has a digest of its own. The source is never changed.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from falcon.errors import UserError
from falcon.memory.log import FolderLock, Log, sync_folder
from falcon.memory.record import encode_stub, summarise
from falcon.memory.retention import most_valuable

BATCH = 4096


@dataclass(frozen=True)
class Copying:
    """What to copy: at most ``keep`` experiences (0: all), nothing of the problems ``without``."""

    source: Log
    keep: int = 0
    without: Collection[str] = ()

    def _payloads(self) -> Iterator[bytes]:
        if not self.keep and not self.without:
            yield from self.source
            return
        records = [summarise(payload) for payload in self.source]
        included = [n for n, r in enumerate(records) if r.problem_id not in self.without]
        chosen = most_valuable([records[n] for n in included], self.keep)
        for place, number in enumerate(included):  # `chosen` counts places among the included
            unchanged = place in chosen or records[number].pruned  # a stub stays that stub
            yield self.source[number] if unchanged else encode_stub(records[number])

    def to(self, folder: Path) -> None:
        """Write the copy. Raises UserError when the folder is not empty."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is not empty.", hint="Copy the memory to a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f"{folder.name}.new-{os.getpid()}"
        try:
            with Log.open(temporary, writable=True) as copy:
                payloads = self._payloads()
                while batch := list(islice(payloads, BATCH)):
                    copy.append(batch)
            os.replace(temporary, folder)  # works on an empty folder, too
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.with_name(f"{temporary.name}.lock").unlink(missing_ok=True)
        sync_folder(folder.parent)


def replace_by(folder: Path, new: Path) -> Path:
    """Move the memory ``new`` to ``folder``; return where the old one is kept (``.before``).

    Raises UserError when a writer has it open or the old one of an earlier call is still there.
    """
    before = folder.with_name(f"{folder.name}.before")
    if before.exists():
        shutil.rmtree(new)
        raise UserError(f"{before} already exists.", hint="Remove it, or use --out FOLDER.")
    try:
        lock = FolderLock(folder)
    except BlockingIOError as held:
        shutil.rmtree(new)
        raise UserError(
            f"{folder}: another writer has this memory open ({held.strerror}).",
            hint="Wait for it to end.",
        ) from None
    try:
        os.rename(folder, before)  # a crash between the two leaves both, under these names
        os.rename(new, folder)
        sync_folder(folder.parent)
    finally:
        lock.release()
    return before
