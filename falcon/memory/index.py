"""The index of long-term memory: unit vectors in a Chroma collection, searched by cosine.

Derived from the log and never trusted over it. ``state.json`` says which encoder made the
vectors and which prefix of which log they cover; it is replaced atomically after Chroma has
the vectors, so after a crash the same texts are written again under the same ids. A
rebuild goes to a new generation folder and takes over vectors of texts it already knows.

One vector stands for one distinct text, not one experience: experiences that say the same
share it. The index does not know experiences, only ids and texts. Chroma's folder is not
safe to share between processes, so a lock guards it, and a second process works with a
private copy in a temporary folder.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from falcon.memory.encoder import Encoder, Vectors
from falcon.memory.log import FolderLock, sync_folder

COLLECTION = "experiences"
SYNC = 50
HNSW = {
    "space": "cosine",
    "ef_construction": 200,
    "ef_search": 400,
    "max_neighbors": 32,
    # Chroma 1.5.9 applies records it has not synced a second time, as slow updates (some 16 ms
    # each), at the first write after a query: few may be left unsynced.
    "batch_size": SYNC,
    "sync_threshold": SYNC,
}
BATCH = 1024
"""Vectors handed to Chroma at once (its own limit is 5461)."""


class IndexState(BaseModel):
    """What an index was made of: encoder, and the first ``records`` records of a log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str
    dim: int
    generation: int
    records: int = 0
    digest: str = ""


def _read_state(folder: Path) -> IndexState | None:
    try:
        return IndexState.model_validate_json((folder / "state.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None  # absent or unreadable: the index is derived, so it is made again


def _generation(number: int) -> str:
    return f"generation-{number:06d}"


class VectorIndex:
    """Vectors by text id, in ``folder`` or, where another process has it, in a private copy."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self.encoder = encoder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: FolderLock | None = None
        self._client: Any = None
        self._collection: Any = None
        self.folder = self._own(folder)
        state = _read_state(self.folder)
        self.state = IndexState(encoder="", dim=0, generation=0) if state is None else state
        if state is not None and not self._attach():
            self.state = state.model_copy(update={"encoder": "", "records": 0, "digest": ""})

    @property
    def private(self) -> bool:
        """Whether this is a temporary copy because another process holds the folder."""
        return self._temporary is not None

    def _own(self, folder: Path) -> Path:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(folder)
            folder.mkdir(exist_ok=True)
        except OSError as fault:
            if fault.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EROFS):
                raise
            self._temporary = tempfile.TemporaryDirectory(prefix="falcon-index-")
            return Path(self._temporary.name)
        return folder

    def _open_client(self, path: Path) -> Any:
        import chromadb
        from chromadb.config import Settings

        return chromadb.PersistentClient(str(path), settings=Settings(anonymized_telemetry=False))

    def _attach(self) -> bool:
        """Open the generation that the state names; False where it is gone or unreadable."""
        from chromadb.errors import ChromaError

        path = self.folder / _generation(self.state.generation)
        if not (path / "chroma.sqlite3").is_file():
            return False
        try:
            self._client = self._open_client(path)
            self._collection = self._client.get_collection(COLLECTION, embedding_function=None)
        except (ChromaError, ValueError, OSError):
            self._detach()
            return False
        return True

    def _detach(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._collection = None

    @property
    def fits(self) -> bool:
        """Whether the vectors were made by this encoder."""
        made = (self.state.encoder, self.state.dim)
        return self._collection is not None and made == (self.encoder.name, self.encoder.dim)

    def __len__(self) -> int:
        return 0 if self._collection is None else int(self._collection.count())

    def _stored(self, ids: Sequence[str]) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        for start in range(0, len(ids), BATCH):
            rows = self._collection.get(
                ids=list(ids[start : start + BATCH]), include=["embeddings"]
            )
            found.update(zip(rows["ids"], np.asarray(rows["embeddings"], "f4"), strict=True))
        return found

    def rebuild(self, texts: Mapping[str, str]) -> None:
        """Make a new generation of exactly these texts (id -> text); drop the old ones.

        Covers no log until :meth:`mark`. Vectors of the same encoder are taken over.
        """
        known = self._stored(list(texts)) if self.fits else {}
        self._detach()
        number = self.state.generation + 1
        path = self.folder / _generation(number)
        if path.exists():
            shutil.rmtree(path)  # left behind by a rebuild that was killed
        self._client = self._open_client(path)
        self._collection = self._client.create_collection(
            COLLECTION, embedding_function=None, configuration={"hnsw": HNSW}
        )
        self.state = IndexState(encoder=self.encoder.name, dim=self.encoder.dim, generation=number)
        self._upsert(list(known), list(known.values()))
        self.add({key: text for key, text in texts.items() if key not in known})
        self._save()
        for old in self.folder.glob("generation-*"):
            if old.name != path.name:
                shutil.rmtree(old)

    def add(self, texts: Mapping[str, str]) -> None:
        """Embed texts (id -> text) and put them in; an id that is there is written again."""
        ids = list(texts)
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            self._upsert(part, list(self.encoder.encode([texts[key] for key in part])))

    def _upsert(self, ids: Sequence[str], rows: Sequence[Vectors]) -> None:
        for start in range(0, len(ids), BATCH):
            stop = start + BATCH
            self._collection.upsert(ids=list(ids[start:stop]), embeddings=list(rows[start:stop]))

    def mark(self, records: int, digest: str) -> None:
        """Note that the vectors now cover the first ``records`` records of a log."""
        self.state = self.state.model_copy(update={"records": records, "digest": digest})
        self._save()

    def _save(self) -> None:
        temporary = self.folder / "state.json.new"
        with temporary.open("w", encoding="utf-8") as out:
            json.dump(self.state.model_dump(), out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, self.folder / "state.json")
        sync_folder(self.folder)

    def nearest(self, queries: Sequence[str], n: int) -> list[list[tuple[str, float]]]:
        """For each query text the ``n`` nearest text ids with their cosine, best first.

        The search is approximate (HNSW, as FAISS would be); the cosines are then computed
        anew from the vectors, and equal ones (to six digits) come in the order of the ids.
        """
        n = min(n, len(self))
        if n == 0 or not queries:
            return [[] for _ in queries]
        wanted = self.encoder.encode(queries)
        found = self._collection.query(
            query_embeddings=list(wanted), n_results=n, include=["embeddings"]
        )
        answers = []
        for query, ids, rows in zip(wanted, found["ids"], found["embeddings"], strict=True):
            cosines = np.asarray(rows, np.float64) @ query.astype(np.float64)
            pairs = [(key, float(cosine)) for key, cosine in zip(ids, cosines, strict=True)]
            answers.append(sorted(pairs, key=lambda pair: (-round(pair[1], 6), pair[0])))
        return answers

    def close(self) -> None:
        """Close Chroma, let the next process in, and drop a private copy."""
        self._detach()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
