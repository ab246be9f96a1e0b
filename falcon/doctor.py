"""Doctor: what a run needs, whether it is there, and what to do about what is not.

Looks only; it installs and changes nothing. Packages are asked for their metadata and, where
importing is what matters, imported in a child process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

State = Literal["ok", "note", "missing"]

DISTRIBUTION = "falcon-mlops"
LEAST_DISK_GIB = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, and what to do (``missing`` stops a run)."""

    name: str
    state: State
    said: str
    todo: str = ""


def examine(root: Path) -> list[Finding]:
    """Look at everything. Never raises: what cannot be looked at is a finding."""
    found = []
    for name, look in _LOOKS.items():
        try:
            found.append(look(root))
        except Exception as fault:  # noqa: BLE001 - the next look is of use whatever this one met
            found.append(Finding(name, "missing", f"{type(fault).__name__}: {fault}"))
    return found


def show(findings: list[Finding]) -> None:
    """Print the findings as a table, and what to do below it."""
    console = Console()
    table = Table(box=None, show_header=False)
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(f"[{colours[finding.state]}]{finding.state}[/]", finding.name, finding.said)
    console.print(table)
    for finding in findings:
        if finding.todo:
            console.print(
                f"{finding.name}: {finding.todo}", markup=False, highlight=False, soft_wrap=True
            )


def _python(root: Path) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding(
        "python", "ok" if good else "missing", version, "" if good else "Python 3.11 or newer."
    )


def _packages(root: Path) -> Finding:
    """Every requirement of the distribution, with its caps: some newer versions break silently."""
    wrong = []
    wanted = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    here = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in here:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is absent")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        return Finding("packages", "missing", "; ".join(wrong), "Run `make venv`.")
    return Finding("packages", "ok", f"{len(here)} at versions that work together")


def _mlflow(root: Path) -> Finding:
    shadow = root / "mlflow" / "__init__.py"
    if shadow.exists():
        return Finding("mlflow", "missing", f"{shadow} shadows the package", f"Remove {shadow}.")
    code = "import mlflow; print(mlflow.__version__, mlflow.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Finding("mlflow", "missing", "the package cannot be imported", "Run `make venv`.")
    return Finding("mlflow", "ok", done.stdout.split()[0])


def _isolation(root: Path) -> Finding:
    from falcon.sandbox import probe

    level = probe()
    name = str(getattr(level, "level", level))
    if name == "L1":
        return Finding(
            "isolation",
            "note",
            "L1: processes with limits only",
            "Allow user namespaces or run in a container; else set machine.allow_weak: true.",
        )
    return Finding("isolation", "ok", name)


def _devices(root: Path) -> Finding:
    import torch

    cores = len(os.sched_getaffinity(0))
    if not torch.cuda.is_available():
        return Finding("devices", "ok", f"{cores} processor cores, no accelerator: profile quick")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("devices", "ok", f"{cores} processor cores, {', '.join(names)}: profile gpu")


def _model(root: Path) -> Finding:
    from falcon.config import load_settings
    from falcon.policy.backbone import locate

    name = load_settings(root / "params.yaml").policy.model
    kind, place = locate(name)
    return Finding("model", "ok", f"{name} ({kind} {place})")


def _settings(root: Path) -> Finding:
    from falcon.config import load_settings

    settings = load_settings(root / "params.yaml")
    return Finding("settings", "ok", f"{root / 'params.yaml'}, profile {settings.profile}")


def _data(root: Path) -> Finding:
    if not (root / "data.dvc").is_file():
        todo = "Put problems in data/ and run `dvc add data`."
        return Finding("data", "missing", "no data.dvc", todo)
    folder = root / "data"
    files = [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []
    if not files:
        return Finding("data", "missing", "data.dvc without data/", "Run `dvc pull`.")
    return Finding("data", "ok", f"{len(files)} files in data/")


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    said = f"{free:.0f} GiB free"
    if free < LEAST_DISK_GIB:
        return Finding(
            "disk", "note", said, "Checkpoints and caches want more: dvc gc -w, or clean up."
        )
    return Finding("disk", "ok", said)


def _git(root: Path) -> Finding:
    if shutil.which("git") is None:
        return Finding("git", "missing", "no git command", "Install git: DVC needs it.")
    if not (root / ".git").exists():
        return Finding(
            "git", "note", "no repository here", "Runs cannot be traced to a commit: git init."
        )
    return Finding("git", "ok", str(root))


_LOOKS: dict[str, Callable[[Path], Finding]] = {
    "python": _python,
    "packages": _packages,
    "settings": _settings,
    "mlflow": _mlflow,
    "isolation": _isolation,
    "devices": _devices,
    "model": _model,
    "data": _data,
    "git": _git,
    "disk": _disk,
}
