"""Chroma: a collection of unit vectors by text id, in a folder of this machine or on a server.

Search is approximate (HNSW) and by cosine. Here are Chroma's own ways and nothing of ours:
which vectors belong in, and whether a collection is the right one, is ``index.py``'s business.
A folder must not be shared between processes; a server (``chroma run``) is made for it.
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
"""Vectors handed to Chroma at once (its own limit is 5461)."""
SYNC = 50
"""Chroma 1.5.9 applies records it has not synced a second time, as slow updates (some 16 ms
each), at the first write after a query: few may be left unsynced."""


class Hnsw(BaseModel):
    """The graph: built with ``neighbors`` and ``construction``, searched with ``search``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbors: int
    construction: int
    search: int

    @classmethod
    def of(cls, settings: MemorySettings) -> Hnsw:
        """The graph of the settings."""
        return cls(
            neighbors=settings.hnsw_neighbors,
            construction=settings.hnsw_construction,
            search=settings.hnsw_search,
        )

    def as_chroma(self) -> dict[str, Any]:
        """The same as Chroma wants it."""
        return {
            "space": "cosine",
            "ef_construction": self.construction,
            "ef_search": self.search,
            "max_neighbors": self.neighbors,
            "batch_size": SYNC,
            "sync_threshold": SYNC,
        }


def _quiet() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """What goes wrong with a server, said as the setting that names it."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, ValueError, OSError, httpx.HTTPError) as fault:
        if not url:
            raise
        raise UserError(
            f"`machine.server`: the Chroma server at {url} does not answer as one should "
            f"({type(fault).__name__}).",
            hint="Start it (`chroma run --path FOLDER`), or empty the setting.",
        ) from fault


class Collection:
    """An open collection. Ids are 16 bytes. With a server every method may raise UserError."""

    def __init__(self, client: Any, collection: Any, url: str = "") -> None:
        self._client = client
        self._collection = collection
        self._url = url

    @classmethod
    def made(cls, folder: Path, hnsw: Hnsw) -> Collection:
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
    def found(cls, folder: Path, hnsw: Hnsw | None = None) -> Collection | None:
        """The collection of a folder, searched as ``hnsw`` says; None where none can be read."""
        import chromadb
        from chromadb.errors import ChromaError

        if not (folder / "chroma.sqlite3").is_file():
            return None
        client = None
        try:
            client = chromadb.PersistentClient(str(folder), settings=_quiet())
            collection = client.get_collection(COLLECTION, embedding_function=None)
            made = cls(client, collection)
            if hnsw is not None:
                made._search_with(hnsw)
        except (ChromaError, ValueError, OSError):
            if client is not None:
                client.close()
            return None
        return made

    @classmethod
    def on_server(cls, url: str, name: str, hnsw: Hnsw) -> Collection:
        """A collection of a server, made there if need be. Raises UserError where none answers."""
        import chromadb

        place = urlsplit(url)
        secure = place.scheme == "https"
        with _asking(url):
            client = chromadb.HttpClient(
                host=place.hostname or "",
                port=place.port or (443 if secure else 8000),
                ssl=secure,
                settings=_quiet(),
            )
            collection = client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": hnsw.as_chroma()}
            )
            made = cls(client, collection, url)
            made._search_with(hnsw)
            return made

    def _search_with(self, hnsw: Hnsw) -> None:
        if self._collection.configuration_json["hnsw"]["ef_search"] != hnsw.search:
            self._collection.modify(configuration={"hnsw": {"ef_search": hnsw.search}})

    def __len__(self) -> int:
        with _asking(self._url):
            return int(self._collection.count())

    def put(self, text_ids: Sequence[bytes], rows: Vectors) -> None:
        """Add vectors; one that is there is written again."""
        for start in range(0, len(text_ids), BATCH):
            part = [key.hex() for key in text_ids[start : start + BATCH]]
            with _asking(self._url):
                self._collection.upsert(ids=part, embeddings=list(rows[start : start + BATCH]))

    def lacks(self, text_ids: Sequence[bytes]) -> list[bytes]:
        """Those of the texts that have no vector here."""
        there: set[str] = set()
        for start in range(0, len(text_ids), BATCH):
            part = [key.hex() for key in text_ids[start : start + BATCH]]
            with _asking(self._url):
                there.update(self._collection.get(ids=part, include=[])["ids"])
        return [key for key in text_ids if key.hex() not in there]

    def fetch(self, text_ids: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors of those texts that are here."""
        found: dict[bytes, Vectors] = {}
        for start in range(0, len(text_ids), BATCH):
            part = [key.hex() for key in text_ids[start : start + BATCH]]
            with _asking(self._url):
                got = self._collection.get(ids=part, include=["embeddings"])
            rows = np.asarray(got["embeddings"], np.float32)
            found.update(zip(map(bytes.fromhex, got["ids"]), rows, strict=True))
        return found

    def nearest(self, queries: Vectors, n: int) -> list[list[bytes]]:
        """Ids of about the ``n`` nearest vectors of each query, best first."""
        with _asking(self._url):
            found = self._collection.query(query_embeddings=list(queries), n_results=n, include=[])
        return [[bytes.fromhex(key) for key in row] for row in found["ids"]]

    @property
    def note(self) -> dict[str, Any]:
        """What :meth:`write_note` kept with the collection."""
        return dict(self._collection.metadata or {})

    def write_note(self, note: dict[str, Any]) -> None:
        """Keep a few strings and numbers with the collection."""
        with _asking(self._url):
            self._collection.modify(metadata=note)

    def close(self) -> None:
        """Let go of the folder or the connection."""
        self._client.close()
