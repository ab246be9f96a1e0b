"""Files and folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def cache_folder() -> Path:
    """What can be made again: FALCON_CACHE, or ``falcon/`` in the user's cache folder."""
    return Path(os.environ.get("FALCON_CACHE") or Path.home() / ".cache" / "falcon")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file."""
    with replaced_file(path) as temporary:
        temporary.write_bytes(data)


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
