"""The index of long-term memory: unit vectors by text, searched by cosine.

The index is derived from the log; where they differ, the log is right. It has three parts: the
file of vectors (the cache of embeddings, ``vector_file.py``), a Chroma collection of the texts
of the first records, and a matrix of newer texts, which are searched exactly until enough of
them go into Chroma together (``settle``). With ``machine.search: auto`` the matrix holds all
texts while they are few: comparing with all is then as fast as Chroma and misses nothing.

Crashes: the state (``index_state.py``) is replaced after Chroma has the vectors, so after a
crash the same texts go in again under the same ids; the collection is first probed in another
process. A rebuild fills a new generation folder, in portions that the state records.

A vector belongs to a distinct text, not to an experience; the index knows texts only, by number,
id and content. Processes cannot share a folder of Chroma: the first one locks it, others search
exactly.
"""

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
"""Greatest number of texts that ``auto`` searches exactly."""

REFUSED = (errno.EWOULDBLOCK, errno.EACCES, errno.EPERM, errno.EROFS)
"""System errors that mean: the folder is in use, or it cannot be written."""

OPEN = "open"
"""Name of a file that is in the folder while a process has the collection open."""

Read = Callable[[int], str]
"""Returns the text of a number."""
Show = Callable[[int], None]
"""Called after each batch with the number of vectors that went into the collection."""


class VectorIndex:
    """Search by cosine over the texts of one log, in their order there.

    ``text_ids`` is the log's own list of text ids by number, which may grow; ``numbers`` is its
    inverse. ``lineage`` names the log on a server: a log keeps it while it grows.
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
        self._hnsw = Hnsw.from_settings(settings.memory)
        self._lock: FolderLock | None = None
        self._collection: Collection | None = None
        self._shared = bool(settings.machine.server)
        self._was_open = False  # True: the last process did not close the collection
        self._settled = 0  # texts 0..settled-1 are in the collection
        self._matrix = Matrix(encoder.dim)
        self._first = 0  # number of the text in the matrix's first row
        self._exact_limit = EXACT if settings.machine.search == "auto" else 0
        fresh = IndexState(
            encoder=encoder.name,
            dim=encoder.dim,
            neighbors=self._hnsw.neighbors,
            construction=self._hnsw.construction,
        )
        self.state = fresh
        self.exact = settings.machine.search == "exact"
        if self.exact:
            return  # no collection and no lock: any number of processes may search so
        if self._shared:
            self._collection = self._connect(settings.machine.server, lineage)
        elif self._lock_folder(folder):
            self._open_generation(fresh)
        else:
            self.exact = True

    # -- opening -----------------------------------------------------------------------

    def _connect(self, url: str, lineage: str) -> Collection:
        state = self.state
        # Everything that makes vectors or graphs differ is in the name, so that memories with
        # different settings never meet in one collection.
        graph = f"{state.encoder}\0{state.dim}\0{state.neighbors}\0{state.construction}\0{lineage}"
        name = f"falcon-{hashlib.sha256(graph.encode()).hexdigest()[:24]}"
        collection = Collection.on_server(url, name, self._hnsw)
        self.state = state.model_copy(update=of_note(collection.note))
        return collection

    def _lock_folder(self, folder: Path) -> bool:
        """Lock the folder and mark it as open; False when this process may not use it."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(folder)
            folder.mkdir(exist_ok=True)
            self._was_open = (folder / OPEN).exists()
            (folder / OPEN).touch()
        except OSError as fault:
            if fault.errno not in REFUSED:
                raise
            logger.info(
                "%s cannot be used (%s); this process searches exactly", folder, fault.strerror
            )
            return False
        return True

    def _open_generation(self, fresh: IndexState) -> None:
        """Open the generation that the state names, if its settings are those of ``fresh``."""
        stored = read_state(self.folder)
        if stored is None:
            if any(self.folder.glob("generation-*")):
                logger.warning("%s: its state is damaged; the index is rebuilt", self.folder)
            return
        # Keep the number even if the rest is refused: a rebuild must take the next one.
        self.state = fresh.model_copy(update={"generation": stored.generation})
        for name in ("encoder", "dim", "neighbors", "construction"):
            if getattr(stored, name) != getattr(fresh, name):
                logger.warning(
                    "%s: made with %s %s, not %s; the index is rebuilt",
                    *(self.folder, name, getattr(stored, name), getattr(fresh, name)),
                )
                return
        path = self.folder / generation_name(stored.generation)
        if not self._was_open or survives(path, self.encoder.dim):
            self._collection = Collection.open_folder(path, self._hnsw)
        if self._collection is None:
            logger.warning("%s: vectors are lost or damaged; the index is rebuilt", self.folder)
            return
        self.state = stored

    def resume(self, same_log: bool, read: Read) -> None:
        """Continue from :attr:`state`; ``same_log``: the log begins with the records it names."""
        if same_log and self._collection is not None and self._complete():
            settled = min(self.state.texts, len(self._ids))
            for start in range(0, settled, BATCH):
                self._embed(start, min(start + BATCH, settled), read)
            self._settled = self._first = settled
            if len(self._ids) <= self._exact_limit:  # few texts: the matrix holds them, too
                self._first = 0
                self._matrix.add(self.vectors.take(self._ids[:settled]))
            return
        if self._collection is not None and self.state.records and not self._shared:
            logger.info("%s: made of another log; the index is rebuilt", self.folder)
        self.state = self.state.model_copy(update={"records": 0, "digest": "", "texts": 0})

    def _complete(self) -> bool:
        """Whether a server still has all texts of the state; a folder is counted by ``settle``."""
        return not self._shared or len(self._opened) >= self.state.texts

    # -- growing -----------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of texts that a search covers."""
        return self._first + len(self._matrix)

    @property
    def unsettled(self) -> int:
        """Number of texts that the collection does not have yet."""
        return 0 if self.exact else len(self) - self._settled

    def extend(self, read: Read, texts: int) -> None:
        """Add the texts that follow, up to ``texts`` in all."""
        for start in range(len(self), texts, BATCH):
            stop = min(start + BATCH, texts)
            self._embed(start, stop, read)
            self._matrix.add(self.vectors.take(self._ids[start:stop]))

    def _embed(self, start: int, stop: int, read: Read) -> None:
        """Make sure the file of vectors has the texts ``start`` to ``stop``: take vectors from the
        collection where it has them, embed the other texts."""
        missing = {self._ids[n]: n for n in range(start, stop) if self._ids[n] not in self.vectors}
        if missing and self._collection is not None:
            present = self._collection.fetch(list(missing))
            if present:
                self.vectors.put(list(present), np.stack(list(present.values())))
                missing = {key: n for key, n in missing.items() if key not in present}
        if missing:
            rows = self.encoder.encode([read(number) for number in missing.values()])
            self.vectors.put(list(missing), rows)

    def settle(self, records: int, digest: str, show: Show | None = None) -> None:
        """Put all unsettled texts into the collection, which then covers ``records`` records."""
        if self.exact or not len(self) or (not self.unsettled and self.state.digest == digest):
            return
        wanted = list(self._ids[self._settled : len(self)])
        if self._shared:
            wanted = self._opened.lacks(wanted)  # another process may have put them there
        elif self._collection is None or self._settled == 0:
            self._new_generation()
        self._put(wanted, show)
        if not self._shared and len(self._opened) != len(self):
            self._new_generation()  # it held texts of no record, or had lost some
            self._put(self._ids[: len(self)], show)
        self._mark_settled(records, digest)

    def begin_rebuild(self, show: Show | None = None) -> None:
        """Forget all texts, so that the next ``settle`` rebuilds the collection. On a server write
        all texts again instead, since others may be reading it."""
        if self._shared:
            self._put(self._ids[: len(self)], show)
        elif not self.exact:
            self._settled = self._first = 0
            self._matrix.clear()

    def _put(self, text_ids: Sequence[bytes], show: Show | None) -> None:
        for start in range(0, len(text_ids), BATCH):
            part = text_ids[start : start + BATCH]
            self._opened.put(part, self.vectors.take(part))
            if show is not None:
                show(len(part))

    def _new_generation(self) -> None:
        """Start an empty collection in a new generation folder and remove the old ones."""
        self._close_collection()
        number = self.state.generation + 1
        path = self.folder / generation_name(number)
        if path.exists():
            shutil.rmtree(path)  # left behind by a rebuild that was killed
        self._collection = Collection.create(path, self._hnsw)
        update = {"generation": number, "records": 0, "digest": "", "texts": 0}
        self.state = self.state.model_copy(update=update)
        # First the state, then the old folders: after a crash between the two, the state names a
        # collection that exists and covers no record.
        self.state.write(self.folder)
        for old in self.folder.glob("generation-*"):
            if old.name != path.name:
                shutil.rmtree(old)

    def _mark_settled(self, records: int, digest: str) -> None:
        """Record that all texts so far are in the collection."""
        self._settled = len(self)
        if self._settled > self._exact_limit:
            self._first = self._settled
            self._matrix.clear()  # from now on Chroma finds them
        self._record({"records": records, "digest": digest, "texts": self._settled})

    def _record(self, update: Mapping[str, Any]) -> None:
        self.state = self.state.model_copy(update=update)
        if self._shared:
            self._opened.write_note(dict(update))
        else:
            self.state.write(self.folder)

    # -- searching ---------------------------------------------------------------------

    def nearest(self, queries: Vectors, n: int) -> list[list[tuple[int, float]]]:
        """The ``n`` nearest texts by number with their cosine for each query, best first.

        The collection chooses its candidates approximately; their cosines are then computed
        exactly, and equal ones (to six digits) come in the order of the numbers.
        """
        n = min(n, len(self))
        if n == 0 or not len(queries):
            return [[] for _ in queries]
        old = self._in_collection(queries, n)
        new = self._matrix.nearest(queries, n)
        return [  # a row of the matrix is the text `_first` further on
            self._ranked(query, {*numbers, *(int(row) + self._first for row in rows)}, n)
            for query, numbers, (rows, _) in zip(queries, old, new, strict=True)
        ]

    def _ranked(self, query: Vectors, numbers: set[int], n: int) -> list[tuple[int, float]]:
        order = sorted(numbers)
        rows = self.vectors.take([self._ids[number] for number in order]).astype(np.float64)
        # Row by row in float64: in a matrix product (BLAS) the last digits of a row depend on
        # how many other rows there are, and a text's cosine must not depend on its neighbours.
        cosines = (rows * query.astype(np.float64)).sum(axis=1)  # [len(order)]
        pairs = [(number, float(cosine)) for number, cosine in zip(order, cosines, strict=True)]
        return sorted(pairs, key=lambda pair: (-round(pair[1], 6), pair[0]))[:n]

    def _in_collection(self, queries: Vectors, n: int) -> list[list[int]]:
        if not self._first or self._collection is None:  # the matrix has every text
            return [[] for _ in queries]
        from chromadb.errors import ChromaError

        try:
            return self._query(self._collection, queries, n)
        except ChromaError as fault:
            if self._shared:
                raise
            logger.warning("%s: damaged (%s); the index is rebuilt", self.folder, fault)
        state, n = self.state, self._settled
        self._new_generation()
        self._put(self._ids[:n], None)
        self._record({name: getattr(state, name) for name in ("records", "digest", "texts")})
        return self._query(self._opened, queries, n)

    def _query(self, collection: Collection, queries: Vectors, n: int) -> list[list[int]]:
        """Numbers of the texts that the collection finds for each query."""
        total = len(collection) if self._shared else self._settled
        wanted, limit = min(n, self._settled), min(n, total)
        while True:
            results = [
                [number for key in row if (number := self._number(key)) is not None]
                for row in collection.nearest(queries, limit)
            ]
            if limit == total or all(len(row) >= wanted for row in results):
                return results
            limit = min(4 * limit, total)  # a server also returns texts of others: ask for more

    # -- life --------------------------------------------------------------------------

    @property
    def _opened(self) -> Collection:
        assert self._collection is not None
        return self._collection

    def _close_collection(self) -> None:
        if self._collection is not None:
            self._collection.close()
            self._collection = None

    def close(self) -> None:
        """Close Chroma and release the folder."""
        self._close_collection()
        if self._lock is not None:
            (self.folder / OPEN).unlink(missing_ok=True)  # while the lock is still held
            self._lock.release()
            self._lock = None
