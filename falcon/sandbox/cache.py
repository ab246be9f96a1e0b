"""Verdict cache: equal programs on equal tests under equal limits are judged once.

A table in one SQLite file, shared by processes. The key is a hash of all that a verdict depends
on: program, suite, limits, isolation level, interpreter, and the source of the sandbox itself,
so that no verdict outlives the code that gave it. Never kept are faults of ours, and what a busy
machine may cause (:func:`lasting`). Where the file cannot be used, all is judged: the cache
saves time and decides nothing.
"""

import contextlib
import functools
import hashlib
import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from falcon.config import SandboxSettings
from falcon.sandbox.verdict import ErrorInfo, Outcome, Verdict
from falcon.sandbox.wire.records import BROKEN

_LOG = logging.getLogger("falcon.sandbox")
FILE = "verdicts.sqlite"
MOST = 1_000_000  # verdicts kept; the oldest half is removed when there are more
_CHUNK = 500
_BUSY_SECONDS = 10.0


@functools.cache
def _source_digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    try:
        digest.update(version("numpy").encode())
    except PackageNotFoundError:
        digest.update(b"-")
    here = Path(__file__).parent
    for file in sorted([here.parent / "suite.py", *here.rglob("*.py")]):
        path = file.relative_to(here.parent)  # several folders have files of one name
        digest.update(str(path).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class VerdictCache:
    """Verdicts by key in one file. Safe to use from several threads and processes."""

    def __init__(self, file: Path, *, most: int = MOST) -> None:
        self.file, self.most = file, most
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._table = self._open()
        except (OSError, sqlite3.Error) as fault:
            self._abandon(fault)

    def _open(self) -> sqlite3.Connection:
        table = sqlite3.connect(
            self.file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        # Readers do not wait for a writer; a crash may lose the last verdicts, never the file.
        table.execute("PRAGMA journal_mode=WAL")
        table.execute("PRAGMA synchronous=NORMAL")
        table.execute("CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, body TEXT)")
        return table

    @property
    def usable(self) -> bool:
        """Whether verdicts are kept at all."""
        return self._table is not None

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Verdict]:
        """The verdicts that are kept under these keys."""
        verdicts: dict[bytes, Verdict] = {}
        with self._lock:
            for start in range(0, len(keys), _CHUNK):  # SQLite bounds the marks of a query
                chunk = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, body FROM verdicts WHERE key IN ({marks})"  # noqa: S608
                for key, body in self._query(query, chunk):
                    with contextlib.suppress(ValidationError):  # of an older form: judged anew
                        verdicts[bytes(key)] = Verdict.model_validate_json(body)
        return verdicts

    def keep(self, verdicts: Mapping[bytes, Verdict]) -> None:
        """Add those verdicts that would be the same another time."""
        rows = [(key, v.model_dump_json()) for key, v in verdicts.items() if lasting(v)]
        with self._lock:
            if self._table is None or not rows:
                return
            try:
                self._table.execute("BEGIN IMMEDIATE")
                self._table.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)
                self._table.execute("COMMIT")
            except sqlite3.Error as fault:
                self._abandon(fault)
        self._prune()

    def _prune(self) -> None:
        with self._lock:
            count = next(iter(self._query("SELECT count(*) FROM verdicts", ())), (0,))[0]
            if count > self.most:
                oldest = "SELECT rowid FROM verdicts ORDER BY rowid LIMIT ?"
                self._query(f"DELETE FROM verdicts WHERE rowid IN ({oldest})", (count // 2,))  # noqa: S608

    def _query(self, text: str, values: Iterable[Any]) -> list[Any]:
        if self._table is None:
            return []
        try:
            return self._table.execute(text, tuple(values)).fetchall()
        except sqlite3.Error as fault:
            self._abandon(fault)
            return []

    def _abandon(self, fault: Exception) -> None:
        """Go on without the file: it is damaged, locked for too long or on a full disk."""
        _LOG.warning(
            "%s: no verdicts are kept (%s): every program is run. Make room there, or set "
            "FALCON_CACHE to a folder that can be written.",
            self.file,
            fault,
        )
        self._close()

    def _close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._close()


def lasting(verdict: Verdict) -> bool:
    """Whether the same program would get the same verdict again, however busy the machine."""
    endings = [verdict.outcome, *(case.outcome for case in verdict.cases)]
    errors = [verdict.error, *(case.error for case in verdict.cases)]
    by_chance = any(e is not None and _by_chance(e) for e in errors)
    return Outcome.SANDBOX_ERROR not in endings and not by_chance


def _by_chance(error: ErrorInfo) -> bool:
    """Whether the state of the machine had a part in it: a wall limit, or a process of ours that
    died each time that the program ran."""
    if error.type == "Timeout":
        return error.message != "cpu time"
    return error.type in ("TestTimeout", "TestsEnded", BROKEN)


def prefix(settings: SandboxSettings, level: str) -> bytes:
    """What the keys of one sandbox have in common, as bytes to hash."""
    limits = settings.model_dump(mode="json")
    return json.dumps([_source_digest(), level, limits], sort_keys=True).encode()


def key_of(common: bytes, program: bytes, suite: bytes) -> bytes:
    """sha256 over the limits, the program as it is sent and the digest of its suite."""
    return hashlib.sha256(b"\0".join((common, suite, program))).digest()
