"""Kept files: contents of artifacts that wait for the tracker.

A file is kept as a copy under its digest, so what a run wrote is sent although a later run has
written the same path, and equal contents take room once.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from falcon.files import replaced_file


class KeptFiles:
    """Contents in a folder, each under its sha256. The caller sees to it that only one writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, path: Path) -> dict[str, str]:
        """Copy a file, or the files of a folder; digests by names relative to it.

        Raises OSError when that cannot be done, FileNotFoundError when nothing is there.
        """
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file())
            return {p.relative_to(path).as_posix(): self._keep(p) for p in found}
        return {path.name: self._keep(path)}

    def _keep(self, file: Path) -> str:
        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        kept = self.folder / digest
        if not kept.is_file():
            # A hard link would change with a file that is written in place.
            with replaced_file(kept) as temporary:
                shutil.copyfile(file, temporary)
        return digest

    @contextmanager
    def tree(self, files: Mapping[str, str]) -> Iterator[Path]:
        """A folder with kept files under their names, while the block runs."""
        home = self.folder / f"tree-{os.getpid()}"
        shutil.rmtree(home, ignore_errors=True)
        try:
            for name, digest in files.items():
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                os.link(self.folder / digest, home / name)
            yield home
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def drop_all_but(self, needed: set[str]) -> None:
        """Remove what no call names, and what processes that were killed left."""
        for path in self.folder.glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in needed:
                path.unlink(missing_ok=True)
