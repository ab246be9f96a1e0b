"""Long-term memory: the log of experiences, and recall from it by similarity.

The buffer M_long of the paper (section III), recalled by eq. 6, with the error shares
P_error of eq. 9. The log is the truth; the index is brought up to date at the first recall
after an append and rebuilt when it is missing or was made of something else.

It holds training experiences only: held-out problems are refused when written, when read
and when recalled. Nothing is ever changed or removed. A reader sees the memory as it was
when it was opened.
"""

from __future__ import annotations

import os
import shutil
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from falcon.errors import UserError
from falcon.memory.encoder import Encoder
from falcon.memory.experience import SCHEMA, Experience
from falcon.memory.index import VectorIndex
from falcon.memory.log import SEGMENT_BYTES, Log, sync_folder
from falcon.memory.record import decode_record, encode_record, summarise
from falcon.memory.text import text_id, text_of
from falcon.problems.problem import HELD_OUT
from falcon.sandbox.verdict import Outcome

TIE_MARGIN = 16
"""Texts fetched beyond those needed, so that ties at the cut are settled by order."""


class Hit(NamedTuple):
    """A recalled experience and its cosine similarity to the task, in [-1, 1]."""

    experience: Experience
    similarity: float


class LongTermMemory:
    """An open long-term memory. Use :meth:`open`, as a context manager or with :meth:`close`."""

    def __init__(
        self, folder: Path, encoder: Encoder, index: Path, error_types: Sequence[str]
    ) -> None:
        self.folder = folder
        self.encoder = encoder
        self._index_folder = index
        self._index: VectorIndex | None = None
        self._keys: set[bytes] = set()
        self._text_ids: list[str] = []
        self._by_text: defaultdict[str, array[int]] = defaultdict(lambda: array("L"))
        self._by_problem: defaultdict[str, array[int]] = defaultdict(lambda: array("L"))
        self._errors: Counter[str] = Counter(dict.fromkeys(error_types, 0))
        self._error_total = 0
        self._covered: int | None = None
        self._log: Log

    @classmethod
    def open(
        cls,
        folder: Path,
        encoder: Encoder,
        *,
        writable: bool = False,
        index: Path | None = None,
        error_types: Sequence[str] | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> LongTermMemory:
        """Open the memory in ``folder`` (created for a writer).

        ``index`` is where its index lives (default: ``<folder>.index``); memories of the same
        origin may share one over time. ``error_types`` are the types of eq. 9, by default
        ``falcon.feedback.error_types.ERROR_TYPES``. Raises UserError for an absent or damaged
        memory, one of a newer version, or a second writer.
        """
        if error_types is None:
            from falcon.feedback.error_types import ERROR_TYPES

            error_types = ERROR_TYPES
        folder = Path(folder)
        place = Path(index) if index is not None else folder.parent / f"{folder.name}.index"
        memory = cls(folder, encoder, place, error_types)
        memory._log = Log.open(
            folder, writable=writable, visit=memory._visit, segment_bytes=segment_bytes
        )
        return memory

    # -- the log ---------------------------------------------------------------------

    def _visit(self, payload: bytes, path: Path, line: int) -> None:
        try:
            found = summarise(payload)
        except (KeyError, TypeError, ValueError) as fault:
            raise UserError(f"{path}, line {line}: not an experience ({fault}).") from fault
        if found.schema > SCHEMA:
            raise UserError(
                f"{path}, line {line}: written with schema {found.schema}, newer than {SCHEMA}.",
                hint="Upgrade falcon-mlops.",
            )
        if found.split in HELD_OUT:
            raise UserError(
                f"{path}, line {line}: {found.problem_id} is of the held-out split `{found.split}`.",
                hint="This memory must not be trained with; seed a new one.",
            )
        if found.error_type and found.error_type not in self._errors:
            raise UserError(f"{path}, line {line}: unknown error type `{found.error_type}`.")
        self._note(found.key, found.problem_id, found.error_type, found.text_id)

    def _note(self, key: bytes, problem_id: str, error: str, text: str) -> None:
        position = len(self._text_ids)
        self._keys.add(key)
        self._text_ids.append(text)
        self._by_text[text].append(position)
        self._by_problem[problem_id].append(position)
        if error:
            self._errors[error] += 1
            self._error_total += 1

    def _check(self, experience: Experience) -> None:
        if experience.split in HELD_OUT:
            raise ValueError(f"{experience.problem_id}: split {experience.split} is held out")
        if experience.verdict.outcome is Outcome.SANDBOX_ERROR:
            raise ValueError(f"{experience.problem_id}: a fault of the sandbox is no experience")
        if experience.schema_version != SCHEMA:
            raise ValueError(f"{experience.problem_id}: schema {experience.schema_version}")
        error = experience.feedback.error_type
        if error and error not in self._errors:
            raise ValueError(f"{experience.problem_id}: unknown error type {error!r}")

    def append(self, experiences: Sequence[Experience]) -> int:
        """Add experiences and return how many were new; on return they are on the disk.

        One that is there already (by :attr:`Experience.key`) is skipped. Raises ValueError,
        and adds none, when one is of a held-out split, a fault of the sandbox, not finite, or
        of an unknown error type, or when the memory is read-only.
        """
        fresh: dict[bytes, Experience] = {}
        for experience in experiences:
            self._check(experience)
            key = bytes.fromhex(experience.key)
            if key not in self._keys:
                fresh.setdefault(key, experience)
        if not self._log.writable:
            raise ValueError(f"{self.folder}: opened read-only")
        self._log.append([encode_record(experience) for experience in fresh.values()])
        for key, new in fresh.items():
            self._note(key, new.problem_id, new.feedback.error_type, text_id(text_of(new)))
        return len(fresh)

    def __len__(self) -> int:
        return len(self._text_ids)

    def __iter__(self) -> Iterator[Experience]:
        return (decode_record(payload) for payload in self._log)

    def __contains__(self, experience: Experience) -> bool:
        return bytes.fromhex(experience.key) in self._keys

    def for_problem(self, problem_id: str) -> list[Experience]:
        """All experiences of a problem, oldest first."""
        return [self._read(p) for p in self._by_problem.get(problem_id, ())]

    def _read(self, position: int) -> Experience:
        return decode_record(self._log[position])

    def digest(self) -> str:
        """sha256 of the contents in order; independent of folder and segments."""
        return self._log.digest()

    def copy_to(self, folder: Path) -> None:
        """Copy the log (not the index) to a new folder; whole or not at all.

        Raises UserError when something is there already.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder}: is not empty.", hint="Copy the memory to a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f"{folder.name}.new-{os.getpid()}"
        try:
            with Log.open(temporary, writable=True) as copy:
                for start in range(0, len(self._log), 4096):
                    stop = min(start + 4096, len(self._log))
                    copy.append([self._log[i] for i in range(start, stop)])
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.with_name(f"{temporary.name}.lock").unlink(missing_ok=True)
        sync_folder(folder.parent)

    # -- statistics and sampling -----------------------------------------------------

    def error_counts(self) -> dict[str, int]:
        """Experiences that ended in each error type, every type present."""
        return dict(self._errors)

    def error_share(self) -> dict[str, float]:
        """P_error of eq. 9: (count + 1) / (all errors + number of types); sums to 1."""
        total = self._error_total + len(self._errors)
        return {name: (count + 1) / total for name, count in self._errors.items()}

    def sample(
        self, rng: np.random.Generator, n: int, *, problem_id: str | None = None
    ) -> list[Experience]:
        """Up to ``n`` different experiences, uniformly, of one problem or of all.

        Depends on the generator and the order of the contents alone. Fewer than ``n`` come
        back only when there are fewer.
        """
        pool = range(len(self)) if problem_id is None else self._by_problem.get(problem_id, ())
        chosen = rng.choice(len(pool), size=min(n, len(pool)), replace=False) if pool else ()
        return [self._read(pool[int(i)]) for i in chosen]

    # -- recall ----------------------------------------------------------------------

    def recall(
        self,
        task: str,
        *,
        k: int,
        min_similarity: float,
        exclude: Collection[str] = (),
    ) -> list[Hit]:
        """Top-k experiences for a task by eq. 6, none of the problems in ``exclude``.

        Best first; equal similarities in the order of the log. Only those of at least
        ``min_similarity`` (cosine). Brings the index up to date first.
        """
        return self.recall_many([task], k=k, min_similarity=min_similarity, exclude=exclude)[0]

    def recall_many(
        self,
        tasks: Sequence[str],
        *,
        k: int,
        min_similarity: float,
        exclude: Collection[str] = (),
    ) -> list[list[Hit]]:
        """:meth:`recall` for several tasks with one pass of the encoder and one search."""
        if k < 1 or not tasks:
            return [[] for _ in tasks]
        left_out = {p for problem_id in exclude for p in self._by_problem.get(problem_id, ())}
        spoilt = len({self._text_ids[p] for p in left_out})
        found = self.update_index().nearest(tasks, k + spoilt + TIE_MARGIN)
        return [self._hits(near, k, min_similarity, left_out) for near in found]

    def _hits(
        self, near: list[tuple[str, float]], k: int, least: float, left_out: set[int]
    ) -> list[Hit]:
        ranked = sorted(
            (-round(cosine, 6), position, cosine)
            for text, cosine in near
            if cosine >= least
            for position in self._by_text[text]
            if position not in left_out
        )
        hits = [Hit(self._read(p), min(1.0, cosine)) for _, p, cosine in ranked[:k]]
        for hit in hits:
            if hit.experience.split in HELD_OUT:
                raise ValueError(f"{hit.experience.problem_id} is held out and was recalled")
        return hits

    def update_index(self) -> VectorIndex:
        """Bring the index up to the log and return it (recall does this by itself)."""
        if self._index is None:
            self._index = VectorIndex(self._index_folder, self.encoder)
            self._covered = self._recognise(self._index)
        index, total = self._index, len(self)
        if self._covered == total and len(index) == len(self._by_text):
            return index
        if self._covered is not None:
            index.add(self._texts(self._covered))
        if self._covered is None or len(index) != len(self._by_text):
            index.rebuild(self._texts(0))
        index.mark(total, self.digest())
        self._covered = total
        return index

    def _recognise(self, index: VectorIndex) -> int | None:
        """Records of this log that the index covers; None when it is of another or does not fit."""
        records = index.state.records
        if not index.fits or records > len(self):
            return None
        return records if index.state.digest == self._log.digest(records) else None

    def _texts(self, start: int) -> dict[str, str]:
        """Texts (id -> text) that first occur at ``start`` or later."""
        first = ((key, positions[0]) for key, positions in self._by_text.items())
        return {key: text_of(self._read(p)) for key, p in first if p >= start}

    # -- life ------------------------------------------------------------------------

    def close(self) -> None:
        """Close log and index; the next writer may open them."""
        if self._index is not None:
            self._index.close()
            self._index = None
        self._log.close()

    def __enter__(self) -> LongTermMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
