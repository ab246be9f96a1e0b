"""Files: written whole or not at all, and hashed as DVC hashes them.

The hashes are those in ``dvc.lock`` (md5 of a file; for a folder, of its sorted list of files),
so results can be compared with it without starting DVC.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A name to write to; the file takes the place of ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        # Without fsync a power cut may leave the new name with an empty file.
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        if path.exists():
            # A folder that is not empty cannot be replaced in one step, so move it aside first.
            old = path.with_name(f".{path.name}.old-{os.getpid()}")
            os.replace(path, old)
            os.replace(fresh, path)
            shutil.rmtree(old)
        else:
            os.replace(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table without its index."""
    with replaced_file(path) as temporary:
        frame.to_parquet(temporary, index=False)


def read_json(path: Path, *, hint: str = "") -> Any:
    """Read JSON. Raises UserError when the file is absent or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there.", hint=hint) from None
    except ValueError as fault:
        raise UserError(f"{path}: not valid JSON ({fault}).", hint=hint) from None


def file_md5(path: Path) -> str:
    """md5 of a file, as 32 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def path_md5(path: Path) -> str:
    """Hash of a file or folder as DVC gives it; a folder's ends in ``.dir``."""
    if not path.is_dir():
        return file_md5(path)
    files = [p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    entries = [{"md5": file_md5(p), "relpath": p.relative_to(path).as_posix()} for p in files]
    # DVC sorts by the parts of a path: "a/b" comes before "a.b", which plain text order reverses.
    entries.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    listed = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(listed, usedforsecurity=False).hexdigest() + ".dir"
