"""Long-term memory: the log of experiences, and recall from it by similarity.

The buffer M_long of the paper (section III), recalled by eq. 6, with the error shares
P_error of eq. 9. The index is derived from the log: the first recall after an append updates
it, and it is rebuilt when it is missing or belongs to another log.

The memory holds training experiences only: held-out problems are refused when written, when
read and when recalled. Nothing is changed or removed; to forget, make a smaller copy
(:meth:`LongTermMemory.copy_to`). A reader sees the memory as it was when it was opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from falcon.config import Settings
from falcon.errors import UserError
from falcon.memory.copying import Copying
from falcon.memory.encoder import Encoder, Vectors
from falcon.memory.error_statistics import ErrorCount, ErrorStatistics
from falcon.memory.experience import Experience
from falcon.memory.index import Show, VectorIndex
from falcon.memory.log import SEGMENT_BYTES, Log
from falcon.memory.metadata import Metadata
from falcon.memory.migration import SCHEMA
from falcon.memory.record import Summary, decode_record, encode_record, summarise, summary_of
from falcon.memory.search import Hit, RecallQuery, Search
from falcon.memory.text import text_of
from falcon.memory.vector_file import VectorFile, unit_rows
from falcon.problems.problem import HELD_OUT
from falcon.sandbox.verdict import Outcome

SETTLE = 4096
"""New texts that are searched exactly before they go into the collection together."""
PORTION = 65_536
"""Texts after which a build of the index stores its state, to resume there if it is killed."""


class LongTermMemory:
    """An open long-term memory. Use :meth:`open`, as a context manager or with :meth:`close`."""

    def __init__(
        self,
        folder: Path,
        encoder: Encoder,
        index: Path,
        settings: Settings,
        errors: ErrorStatistics,
    ) -> None:
        self.folder = folder
        self.encoder = encoder
        self.settings = settings
        self.errors = errors
        """Counts by type, line and problem."""
        self._index_folder = index
        self._index: VectorIndex | None = None
        self._vectors: VectorFile | None = None
        self._metadata = Metadata()
        self._covered = (0, "")  # records of the log that the index has read, and their digest
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
        settings: Settings | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> LongTermMemory:
        """Open the memory in ``folder`` (created for a writer).

        ``index`` is the folder of its index (default: ``<folder>.index``); copies of a memory may
        use one folder in turn. ``error_types`` are the types of eq. 9, by default
        ``falcon.feedback.error_types.ERROR_TYPES``. ``settings`` set the index and the error
        statistics. Raises UserError for an absent or damaged memory, one of a newer version, a
        second writer, or a folder that cannot be written (for a writer).
        """
        if error_types is None:
            from falcon.feedback.error_types import ERROR_TYPES

            error_types = ERROR_TYPES
        settings = settings or Settings()
        folder = Path(folder)
        place = Path(index) if index is not None else folder.parent / f"{folder.name}.index"
        errors = ErrorStatistics(
            error_types,
            smoothing=settings.memory.smoothing,
            forgetting=settings.memory.forgetting,
        )
        memory = cls(folder, encoder, place, settings, errors)
        memory._log = Log.open(
            folder, writable=writable, visit=memory._visit, segment_bytes=segment_bytes
        )
        return memory

    # -- the log ---------------------------------------------------------------------

    def _visit(self, payload: bytes, path: Path, line: int) -> None:
        try:
            record = summarise(payload)
        except (KeyError, TypeError, ValueError) as fault:
            raise UserError(f"{path}, line {line}: not an experience ({fault}).") from fault
        if record.schema > SCHEMA:
            raise UserError(
                f"{path}, line {line}: written with schema {record.schema}, newer than {SCHEMA}.",
                hint="Upgrade falcon-mlops.",
            )
        if record.split in HELD_OUT:
            where = f"{path}, line {line}: {record.problem_id}"
            raise UserError(
                f"{where} is of the held-out split `{record.split}`.",
                hint="Do not train with this memory; seed a new one.",
            )
        if record.error_type and record.error_type not in self.errors:
            raise UserError(f"{path}, line {line}: unknown error type `{record.error_type}`.")
        self._note(record)

    def _note(self, record: Summary) -> None:
        self._metadata.add(record)
        self.errors.add(record.problem_id, record.error_type, record.error_line)

    def _check(self, experience: Experience) -> None:
        if experience.split in HELD_OUT:
            raise ValueError(f"{experience.problem_id}: split {experience.split} is held out")
        if experience.verdict.outcome is Outcome.SANDBOX_ERROR:
            raise ValueError(f"{experience.problem_id}: a fault of the sandbox is no experience")
        error = experience.feedback.error_type
        if error and error not in self.errors:
            raise ValueError(f"{experience.problem_id}: unknown error type {error!r}")

    def append(
        self, experiences: Sequence[Experience], vectors: npt.ArrayLike | None = None
    ) -> int:
        """Add experiences and return how many were new; on return they are on the disk.

        One whose :attr:`Experience.key` is in the log, pruned or not, is skipped. ``vectors``,
        [n, dim], are phi of their texts if the caller has them; else the next recall embeds them.
        Raises ValueError, and adds none, when one is of a held-out split, a fault of the sandbox,
        not finite, or of an unknown error type, when vectors are of another size, or when the
        memory is read-only.
        """
        rows = None
        if vectors is not None:
            rows = unit_rows(vectors, len(experiences), self.encoder.dim)
        fresh: dict[bytes, tuple[int, Summary]] = {}
        for number, experience in enumerate(experiences):
            self._check(experience)
            record = summary_of(experience)
            if record.key not in self._metadata.keys:
                fresh.setdefault(record.key, (number, record))  # of equal ones the first
        if not self._log.writable:
            raise ValueError(f"{self.folder}: opened read-only")
        chosen = [number for number, _ in fresh.values()]
        # The log first: what it did not take must be in neither the statistics nor the index.
        self._log.append([encode_record(experiences[n], key) for key, (n, _) in fresh.items()])
        for _, record in fresh.values():
            self._note(record)
        if rows is not None and chosen:
            self._vector_file().put([record.text_id for _, record in fresh.values()], rows[chosen])
        return len(fresh)

    def __len__(self) -> int:
        return len(self._metadata)

    def __iter__(self) -> Iterator[Experience]:
        return (self._read(number) for number in range(len(self)))

    def __contains__(self, experience: Experience) -> bool:
        return bytes.fromhex(experience.key) in self._metadata.keys

    @property
    def pruned(self) -> int:
        """Number of experiences of which only key and error are left."""
        return len(self._log) - len(self)

    @property
    def torn(self) -> str:
        """File, line and size of an incomplete last record that was ignored, or ""."""
        return self._log.torn

    def problems(self) -> list[str]:
        """Ids of the problems that have experiences, in the order of the log."""
        return self._metadata.problems()

    def for_problem(self, problem_id: str) -> list[Experience]:
        """All experiences of a problem, oldest first."""
        return [self._read(n) for n in self._metadata.of_problem(problem_id)]

    def _read(self, number: int) -> Experience:
        return decode_record(self._log[self._metadata.records[number]])

    def digest(self) -> str:
        """sha256 of the contents in order; independent of folder and segments."""
        return self._log.digest()

    def copy_to(self, folder: Path, *, keep: int = 0, without: Collection[str] = ()) -> None:
        """Copy the log (not the index) to a new folder, atomically.

        ``keep``: copy only so many experiences (0: all), the most valuable ones
        (``retention.py``), and of the others key and error. Nothing of the problems ``without``
        is copied. Raises UserError when the folder is not empty.
        """
        Copying(self._log, keep, without).to(folder)

    # -- statistics and sampling -----------------------------------------------------

    def error_counts(self, problem_id: str | None = None) -> dict[str, int]:
        """Number of experiences of each error type, zeros included; of one problem or all."""
        return self.errors.counts(problem_id)

    def located_errors(self, problem_id: str | None = None) -> dict[str, ErrorCount]:
        """Counts and lines of the error types that occurred; of one problem or all."""
        return self.errors.located(problem_id)

    def successes(self, problem_id: str) -> tuple[int, int]:
        """Numbers of passing and of all programs of a problem; equal programs count once."""
        return self.errors.successes(problem_id)

    def error_share(self) -> dict[str, float]:
        """P_error of eq. 9, smoothed: (count + s) / (all errors + s * number of types)."""
        return self.errors.share()

    def sample(
        self,
        rng: np.random.Generator,
        n: int,
        *,
        problem_id: str | None = None,
        passing: bool = False,
    ) -> list[Experience]:
        """Up to ``n`` different experiences, uniformly, of one problem or of all.

        ``passing``: only of programs that passed. Depends only on the generator and the order of
        the contents. Fewer than ``n`` are returned only when there are fewer.
        """
        pool = np.arange(len(self))
        if problem_id is not None:
            pool = np.array(self._metadata.of_problem(problem_id), dtype=np.int64)
        if passing:
            pool = pool[self._metadata.passed_of(pool)]
        chosen = rng.choice(len(pool), size=min(n, len(pool)), replace=False) if len(pool) else ()
        return [self._read(pool[int(i)]) for i in chosen]

    # -- recall ----------------------------------------------------------------------

    def recall(self, task: str, *, k: int, min_similarity: float, **conditions: Any) -> list[Hit]:
        """Top-k experiences for a task by eq. 6; ``conditions`` are fields of RecallQuery."""
        return self.recall_many([task], RecallQuery(k, min_similarity, **conditions))[0]

    def recall_many(self, tasks: Sequence[str], query: RecallQuery) -> list[list[Hit]]:
        """Top-k experiences for each task by eq. 6, with one pass of the encoder and one search.

        Best first; equal similarities in the order of the log. Brings the index up to date first.
        """
        if query.k < 1 or not tasks or not len(self):
            return [[] for _ in tasks]
        left_out = {n for problem in query.exclude for n in self._metadata.of_problem(problem)}
        search = Search(self.update_index(), self._metadata, self._read, query, left_out)
        return search.hits(tasks, self.encoder.encode(tasks))

    def texts(self) -> tuple[list[int], Vectors]:
        """The text number of each experience, and the vectors of the texts, float32 [m, dim]."""
        self.update_index()
        numbers = [self._metadata.text_of(n) for n in range(len(self))]
        return numbers, self._vector_file().take(self._metadata.text_ids)

    def update_index(self, show: Show | None = None) -> VectorIndex:
        """Bring the index up to the log and return it (recall does this by itself). ``show`` is
        called with the number of vectors that went in."""
        first_use = self._index is None
        index = self._opened_index()
        self._grow(index, show)
        if first_use or index.unsettled > SETTLE:
            index.settle(*self._covered, show=show)
        return index

    def rebuild_index(self, show: Show | None = None) -> VectorIndex:
        """Build the index again from the vectors that are stored; only texts without one are
        embedded. A killed build resumes at the next opening. ``show`` as in update_index."""
        index = self._opened_index()
        index.begin_rebuild(show)
        self._grow(index, show)
        index.settle(*self._covered, show=show)
        return index

    def _grow(self, index: VectorIndex, show: Show | None = None) -> None:
        """Add all new texts to the index; many are settled in portions."""
        metadata = self._metadata
        while len(metadata.text_ids) - len(index) > PORTION:
            texts = len(index) + PORTION
            index.extend(self._text, texts)
            # The state covers a prefix of records. Text number `texts` first occurs in this record,
            # so that all records before it have texts that are in the index by now.
            records = metadata.records[metadata.first[texts]]
            index.settle(records, self._log.digest(records), show)
        index.extend(self._text, len(metadata.text_ids))
        self._covered = (len(self._log), self._log.digest())

    def _opened_index(self) -> VectorIndex:
        if self._index is None:
            first = self._log[0] if len(self._log) else b""
            index = VectorIndex(
                self._index_folder,
                self.encoder,
                self.settings,
                vectors=self._vector_file(),
                text_ids=self._metadata.text_ids,
                numbers=self._metadata.text_number,
                lineage=hashlib.sha256(first).hexdigest(),
            )
            records = index.state.records
            same_log = 0 < records <= len(self._log)
            same_log = same_log and index.state.digest == self._log.digest(records)
            index.resume(same_log, self._text)
            self._index = index
        return self._index

    def _vector_file(self) -> VectorFile:
        if self._vectors is None:
            self._vectors = VectorFile(self._index_folder, self.encoder.name, self.encoder.dim)
        return self._vectors

    def _text(self, number: int) -> str:
        return text_of(self._read(self._metadata.first[number]))

    # -- life ------------------------------------------------------------------------

    def close(self) -> None:
        """Settle and close the index, and close the log."""
        if self._index is not None:
            try:
                self._index.settle(*self._covered)
            finally:
                self._index.close()
                self._index = None
        self._log.close()

    def __enter__(self) -> LongTermMemory:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._index is not None:
            self._index.close()  # after an error do not settle: the next process does
            self._index = None
        self.close()
