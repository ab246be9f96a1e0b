"""The index of long-term memory: unit vectors by text, searched by cosine.

Derived from the log and never trusted over it. Three parts: the file of vectors (the cache
of embeddings, ``vector_file.py``), a Chroma collection of the texts up to some record of the
log, and a matrix of newer ones that is searched exactly until it is worth putting them in
Chroma (``settle``). With ``machine.search: auto`` the matrix holds all texts while these are
few: comparing with all of them is then as fast as Chroma and misses nothing. The state
(``index_state.py``) is replaced after Chroma has the vectors, so after a crash the same texts
are put in once more under the same ids, and the collection is first probed in another process.
A rebuild goes to a new generation folder; many texts go in by portions, each noted in the state.

One vector stands for one distinct text, not one experience. The index does not know
experiences, only texts by number, id and content. Chroma's folder is not safe to share
between processes, so a lock guards it, and a second process searches exactly.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from falcon.config import Settings
from falcon.memory.chroma import BATCH, Collection, Hnsw
from falcon.memory.encoder import Encoder, Vectors
from falcon.memory.exact import Matrix
from falcon.memory.index_state import IndexState, generation_name, of_note, read_state
from falcon.memory.log import FolderLock
from falcon.memory.probe import survives
from falcon.memory.vector_file import VectorFile

logger = logging.getLogger("falcon.memory")

EXACT = 131_072
"""Texts up to which ``auto`` compares with all of them."""

REFUSED = (errno.EWOULDBLOCK, errno.EACCES, errno.EPERM, errno.EROFS)
"""Faults that mean: the folder is in use, or the disk takes no writes."""

OPEN = "open"
"""Name of the mark that is in the folder while a process has the collection open."""

Read = Callable[[int], str]
"""The text of a number."""
Show = Callable[[int], None]
"""Told after each batch how many vectors went into the collection."""


class VectorIndex:
    """Search by cosine over the texts of one log, in their order there.

    ``text_ids`` is the log's own list of text ids by number, which may grow; ``numbers`` is
    its inverse; ``lineage`` names the log on a server, equal for a log and its continuations.
    """

    def __init__(
        self,
        folder: Path,
        encoder: Encoder,
        settings: Settings,
        *,
        vectors: VectorFile,
        text_ids: Sequence[bytes],
        numbers: Callable[[bytes], int | None],
        lineage: str = "",
    ) -> None:
        self.folder = folder
        self.encoder = encoder
        self.vectors = vectors
        self._ids = text_ids
        self._number = numbers
        self._hnsw = Hnsw.of(settings.memory)
        self._lock: FolderLock | None = None
        self._collection: Collection | None = None
        self._shared = bool(settings.machine.server)
        self._was_open = False  # by a process that did not close it
        self._settled = 0
        self._matrix = Matrix(encoder.dim)
        self._first = 0  # text of the first row of the matrix
        self._few = EXACT if settings.machine.search == "auto" else 0
        fresh = IndexState(
            encoder=encoder.name,
            dim=encoder.dim,
            neighbors=self._hnsw.neighbors,
            construction=self._hnsw.construction,
        )
        self.state = fresh
        self.exact = settings.machine.search == "exact"
        if self.exact:
            return
        if self._shared:
            self._collection = self._of_server(settings.machine.server, lineage)
        elif self._own(folder):
            self._attach(fresh)
        else:
            self.exact = True

    # -- opening -----------------------------------------------------------------------

    def _of_server(self, url: str, lineage: str) -> Collection:
        state = self.state
        graph = f"{state.encoder}\0{state.dim}\0{state.neighbors}\0{state.construction}\0{lineage}"
        name = f"falcon-{hashlib.sha256(graph.encode()).hexdigest()[:24]}"
        collection = Collection.on_server(url, name, self._hnsw)
        self.state = state.model_copy(update=of_note(collection.note))
        return collection

    def _own(self, folder: Path) -> bool:
        """Whether the collection of the folder is ours to use."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(folder)
            folder.mkdir(exist_ok=True)
            self._was_open = (folder / OPEN).exists()
            (folder / OPEN).touch()
        except OSError as fault:
            if fault.errno not in REFUSED:
                raise
            logger.info("%s cannot be used (%s): searching exactly", folder, fault.strerror)
            return False
        return True

    def _attach(self, fresh: IndexState) -> None:
        """Open the generation that the state names, if it was made as this one would be."""
        known = read_state(self.folder)
        if known is None:
            if any(self.folder.glob("generation-*")):
                logger.warning("%s: its state is damaged; it is made again", self.folder)
            return
        self.state = fresh.model_copy(update={"generation": known.generation})
        for name in ("encoder", "dim", "neighbors", "construction"):
            if getattr(known, name) != getattr(fresh, name):
                logger.warning(
                    "%s: made with %s %s, not %s; it is made again",
                    *(self.folder, name, getattr(known, name), getattr(fresh, name)),
                )
                return
        path = self.folder / generation_name(known.generation)
        if not self._was_open or survives(path, self.encoder.dim):
            self._collection = Collection.found(path, self._hnsw)
        if self._collection is None:
            logger.warning("%s: its vectors are lost or damaged; it is made again", self.folder)
            return
        self.state = known

    def recognise(self, known: bool, read: Read) -> None:
        """Say whether the log begins with the records that :attr:`state` names."""
        if known and self._collection is not None and self._whole_as_noted():
            settled = min(self.state.texts, len(self._ids))
            for start in range(0, settled, BATCH):
                self._embed(start, min(start + BATCH, settled), read)
            self._settled = self._first = settled
            if len(self._ids) <= self._few:
                self._first = 0
                self._matrix.add(self.vectors.take(self._ids[:settled]))
            return
        if self._collection is not None and self.state.records and not self._shared:
            logger.info("%s: made of another log; it is made again", self.folder)
        self.state = self.state.model_copy(update={"records": 0, "digest": "", "texts": 0})

    def _whole_as_noted(self) -> bool:
        """Whether a server still has what it noted; a folder is counted when it is written."""
        return not self._shared or len(self._whole) >= self.state.texts

    # -- growing -----------------------------------------------------------------------

    def __len__(self) -> int:
        """Texts that a search looks at."""
        return self._first + len(self._matrix)

    @property
    def unsettled(self) -> int:
        """Texts that the collection does not have yet."""
        return 0 if self.exact else len(self) - self._settled

    def extend(self, read: Read, texts: int) -> None:
        """Take in the texts that follow those known, up to so many in all."""
        for start in range(len(self), texts, BATCH):
            stop = min(start + BATCH, texts)
            self._embed(start, stop, read)
            self._matrix.add(self.vectors.take(self._ids[start:stop]))

    def _embed(self, start: int, stop: int, read: Read) -> None:
        """See to it that the file of vectors has those of some texts: the collection may know
        them, the others are embedded."""
        missing = {self._ids[n]: n for n in range(start, stop) if self._ids[n] not in self.vectors}
        if missing and self._collection is not None:
            there = self._collection.fetch(list(missing))
            if there:
                self.vectors.put(list(there), np.stack(list(there.values())))
                missing = {key: n for key, n in missing.items() if key not in there}
        if missing:
            rows = self.encoder.encode([read(number) for number in missing.values()])
            self.vectors.put(list(missing), rows)

    def settle(self, records: int, digest: str, show: Show | None = None) -> None:
        """Put what is unsettled into the collection, which then covers ``records`` records."""
        if self.exact or not len(self) or (not self.unsettled and self.state.digest == digest):
            return
        wanted = list(self._ids[self._settled : len(self)])
        if self._shared:
            wanted = self._whole.lacks(wanted)
        elif self._collection is None or self._settled == 0:
            self._renew()
        self._put(wanted, show)
        if not self._shared and len(self._whole) != len(self):
            self._renew()  # it held texts of no record, or had lost some
            self._put(self._ids[: len(self)], show)
        self._mark(records, digest)

    def begin_anew(self, show: Show | None = None) -> None:
        """Forget all texts, so that the next ``settle`` makes the collection anew.

        One on a server is written again instead, since others may be reading it.
        """
        if self._shared:
            self._put(self._ids[: len(self)], show)
        elif not self.exact:
            self._settled = self._first = 0
            self._matrix.clear()

    def _put(self, text_ids: Sequence[bytes], show: Show | None) -> None:
        for start in range(0, len(text_ids), BATCH):
            part = text_ids[start : start + BATCH]
            self._whole.put(part, self.vectors.take(part))
            if show is not None:
                show(len(part))

    def _renew(self) -> None:
        """An empty collection in a new generation; the old one goes."""
        self._detach()
        number = self.state.generation + 1
        path = self.folder / generation_name(number)
        if path.exists():
            shutil.rmtree(path)  # left behind by a rebuild that was killed
        self._collection = Collection.made(path, self._hnsw)
        update = {"generation": number, "records": 0, "digest": "", "texts": 0}
        self.state = self.state.model_copy(update=update)
        self.state.write(self.folder)
        for old in self.folder.glob("generation-*"):
            if old.name != path.name:
                shutil.rmtree(old)

    def _mark(self, records: int, digest: str) -> None:
        """Note that all texts known here are in the collection."""
        self._settled = len(self)
        if self._settled > self._few:
            self._first = self._settled
            self._matrix.clear()
        self._note({"records": records, "digest": digest, "texts": self._settled})

    def _note(self, update: Mapping[str, Any]) -> None:
        self.state = self.state.model_copy(update=update)
        if self._shared:
            self._whole.write_note(dict(update))
        else:
            self.state.write(self.folder)

    # -- searching ---------------------------------------------------------------------

    def nearest(self, queries: Vectors, n: int) -> list[list[tuple[int, float]]]:
        """The ``n`` nearest texts by number with their cosine for each query, best first.

        Which texts are near is approximate where the collection says it; the cosines are then
        computed anew, and equal ones (to six digits) come in the order of the numbers.
        """
        n = min(n, len(self))
        if n == 0 or not len(queries):
            return [[] for _ in queries]
        old = self._in_collection(queries, n)
        new = self._matrix.nearest(queries, n)
        return [
            self._ranked(query, {*there, *(int(row) + self._first for row in rows)}, n)
            for query, there, (rows, _) in zip(queries, old, new, strict=True)
        ]

    def _ranked(self, query: Vectors, numbers: set[int], n: int) -> list[tuple[int, float]]:
        order = sorted(numbers)
        rows = self.vectors.take([self._ids[number] for number in order]).astype(np.float64)
        # Each row by itself: a matrix product rounds a row differently with its company.
        cosines = (rows * query.astype(np.float64)).sum(axis=1)
        found = [(number, float(cosine)) for number, cosine in zip(order, cosines, strict=True)]
        return sorted(found, key=lambda pair: (-round(pair[1], 6), pair[0]))[:n]

    def _in_collection(self, queries: Vectors, n: int) -> list[list[int]]:
        if not self._first or self._collection is None:
            return [[] for _ in queries]
        from chromadb.errors import ChromaError

        try:
            return self._asked(self._collection, queries, n)
        except ChromaError as fault:
            if self._shared:
                raise
            logger.warning("%s: damaged (%s); it is made again", self.folder, fault)
        state, n = self.state, self._settled
        self._renew()
        self._put(self._ids[:n], None)
        self._note({name: getattr(state, name) for name in ("records", "digest", "texts")})
        return self._asked(self._whole, queries, n)

    def _asked(self, collection: Collection, queries: Vectors, n: int) -> list[list[int]]:
        """Numbers by the collection. On a server others' texts are between ours: ask for more."""
        everything = len(collection) if self._shared else self._settled
        wanted, asked = min(n, self._settled), min(n, everything)
        while True:
            found = [
                [number for key in row if (number := self._number(key)) is not None]
                for row in collection.nearest(queries, asked)
            ]
            if asked == everything or all(len(row) >= wanted for row in found):
                return found
            asked = min(4 * asked, everything)

    # -- life --------------------------------------------------------------------------

    @property
    def _whole(self) -> Collection:
        assert self._collection is not None
        return self._collection

    def _detach(self) -> None:
        if self._collection is not None:
            self._collection.close()
            self._collection = None

    def close(self) -> None:
        """Close Chroma and let the next process in."""
        self._detach()
        if self._lock is not None:
            (self.folder / OPEN).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None
