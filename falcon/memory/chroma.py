"""Chroma: a collection of unit vectors by text id, in a folder of this machine or on a server.

Search is approximate (HNSW) and by cosine. This module only calls Chroma; ``index.py`` decides
which vectors belong in a collection and whether it is the right one. Processes must not share
a folder; they can share a server (``chroma run``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pydantic import BaseModel, ConfigDict

from falcon.config import MemorySettings
from falcon.errors import UserError
from falcon.memory.encoder import Vectors

COLLECTION = "experiences"
BATCH = 1024
"""Vectors in one call of Chroma (its own limit is 5461)."""
SYNC = 50
"""Records after which Chroma syncs. At the first write after a query Chroma 1.5.9 applies all
unsynced records a second time, as slow updates (about 16 ms each), so few may be unsynced."""


class Hnsw(BaseModel):
    """Parameters of the graph: ``neighbors`` and ``construction`` build, ``search`` searches it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbors: int
    construction: int
    search: int

    @classmethod
    def from_settings(cls, settings: MemorySettings) -> Hnsw:
        """The parameters that the settings name."""
        return cls(
            neighbors=settings.hnsw_neighbors,
            construction=settings.hnsw_construction,
            search=settings.hnsw_search,
        )

    def as_chroma(self) -> dict[str, Any]:
        """The parameters under Chroma's names."""
        return {
            "space": "cosine",
            "ef_construction": self.construction,
            "ef_search": self.search,
            "max_neighbors": self.neighbors,
            "batch_size": SYNC,  # must not exceed sync_threshold
            "sync_threshold": SYNC,
        }


def _quiet() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)  # else Chroma calls home


@contextmanager
def _server_errors(url: str) -> Iterator[None]:
    """Turn a server's errors into a UserError about the setting; without ``url`` do nothing."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, ValueError, OSError, httpx.HTTPError) as fault:
        if not url:
            raise
        raise UserError(
            f"`machine.server`: the Chroma server at {url} does not answer as expected "
            f"({type(fault).__name__}).",
            hint="Start it (`chroma run --path FOLDER`), or empty the setting.",
        ) from fault


class Collection:
    """An open collection. Ids are 16 bytes. On a server every method may raise UserError."""

    def __init__(self, client: Any, collection: Any, url: str = "") -> None:
        self._client = client
        self._collection = collection
        self._url = url

    @classmethod
    def create(cls, folder: Path, hnsw: Hnsw) -> Collection:
        """A new collection in a new folder."""
        import chromadb

        client = chromadb.PersistentClient(str(folder), settings=_quiet())
        configuration = {"hnsw": hnsw.as_chroma()}
        return cls(
            client,
            client.create_collection(
                COLLECTION, embedding_function=None, configuration=configuration
            ),
        )

    @classmethod
    def open_folder(cls, folder: Path, hnsw: Hnsw | None = None) -> Collection | None:
        """The collection of a folder, searched as ``hnsw`` says; None if absent or unreadable."""
        import chromadb
        from chromadb.errors import ChromaError

        if not (folder / "chroma.sqlite3").is_file():
            return None  # PersistentClient would make an empty one
        client = None
        try:
            client = chromadb.PersistentClient(str(folder), settings=_quiet())
            collection = client.get_collection(COLLECTION, embedding_function=None)
            opened = cls(client, collection)
            if hnsw is not None:
                opened._search_with(hnsw)
        except (ChromaError, ValueError, OSError):
            if client is not None:
                client.close()  # Chroma caches clients by folder: the next must not get this one
            return None
        return opened

    @classmethod
    def on_server(cls, url: str, name: str, hnsw: Hnsw) -> Collection:
        """A collection of a server, created if absent. Raises UserError if no server answers."""
        import chromadb

        place = urlsplit(url)
        secure = place.scheme == "https"
        with _server_errors(url):
            client = chromadb.HttpClient(
                host=place.hostname or "",
                port=place.port or (443 if secure else 8000),
                ssl=secure,
                settings=_quiet(),
            )
            collection = client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": hnsw.as_chroma()}
            )
            opened = cls(client, collection, url)
            opened._search_with(hnsw)  # it may have been created with another ef_search
            return opened

    def _search_with(self, hnsw: Hnsw) -> None:
        if self._collection.configuration_json["hnsw"]["ef_search"] != hnsw.search:
            self._collection.modify(configuration={"hnsw": {"ef_search": hnsw.search}})

    def __len__(self) -> int:
        with _server_errors(self._url):
            return int(self._collection.count())

    def put(self, text_ids: Sequence[bytes], rows: Vectors) -> None:
        """Add vectors; one that is already there is replaced."""
        for start in range(0, len(text_ids), BATCH):
            part = [key.hex() for key in text_ids[start : start + BATCH]]
            with _server_errors(self._url):
                self._collection.upsert(ids=part, embeddings=list(rows[start : start + BATCH]))

    def lacks(self, text_ids: Sequence[bytes]) -> list[bytes]:
        """Those of the texts that have no vector here."""
        present: set[str] = set()
        for start in range(0, len(text_ids), BATCH):
            part = [key.hex() for key in text_ids[start : start + BATCH]]
            with _server_errors(self._url):
                present.update(self._collection.get(ids=part, include=[])["ids"])
        return [key for key in text_ids if key.hex() not in present]

    def fetch(self, text_ids: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors of those texts that are here."""
        vectors: dict[bytes, Vectors] = {}
        for start in range(0, len(text_ids), BATCH):
            part = [key.hex() for key in text_ids[start : start + BATCH]]
            with _server_errors(self._url):
                page = self._collection.get(ids=part, include=["embeddings"])
            rows = np.asarray(page["embeddings"], np.float32)  # [len(page["ids"]), dim]
            # Chroma returns rows in an order of its own, so take its ids, not ours.
            vectors.update(zip(map(bytes.fromhex, page["ids"]), rows, strict=True))
        return vectors

    def nearest(self, queries: Vectors, n: int) -> list[list[bytes]]:
        """Ids of about the ``n`` nearest vectors of each query, best first."""
        with _server_errors(self._url):
            answer = self._collection.query(query_embeddings=list(queries), n_results=n, include=[])
        return [[bytes.fromhex(key) for key in row] for row in answer["ids"]]

    @property
    def note(self) -> dict[str, Any]:
        """What :meth:`write_note` stored with the collection."""
        return dict(self._collection.metadata or {})

    def write_note(self, note: dict[str, Any]) -> None:
        """Store a few strings and numbers with the collection."""
        with _server_errors(self._url):
            self._collection.modify(metadata=note)

    def close(self) -> None:
        """Close the folder or the connection."""
        self._client.close()
