"""Files: JSON, text and tables written whole or not at all, and hashed as DVC hashes them.

The hashes are those in ``dvc.lock`` (md5 of a file; for a folder, of its sorted list of files),
so results can be compared with it without starting DVC.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falcon.errors import UserError
from falcon.files import replaced_file, write_whole

if TYPE_CHECKING:
    import pandas as pd


def may_write(path: Path) -> bool:
    """Whether this process may write a file, or make files in a folder."""
    wanted = os.W_OK | (os.X_OK if path.is_dir() else 0)
    return os.access(path, wanted, effective_ids=os.access in os.supports_effective_ids)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write_whole(path, text.encode())


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
