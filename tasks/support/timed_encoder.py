"""Timed encoder: counts the seconds that the embeddings of a stage take."""

import time
from collections.abc import Sequence

from falcon.memory.encoder import Encoder, Vectors


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
