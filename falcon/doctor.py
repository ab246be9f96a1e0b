"""Doctor: what a run needs, whether it is there, and what to do about what is missing.

It installs and changes nothing. Of packages it reads the metadata; one that must be imported to
be checked is imported in a child process.
"""

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

from falcon.config import load_settings, profile_of
from falcon.errors import UserError

State = Literal["ok", "note", "missing"]
Result = tuple[State, str, str]  # how a thing is, the same in words, what to do ("": nothing)

DISTRIBUTION = "falcon-mlops"
LEAST_DISK_GIB = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was checked, and what to do about it. ``missing`` stops a run."""

    name: str
    state: State
    text: str
    todo: str


def examine(root: Path) -> list[Finding]:
    """Check everything. Never raises: what cannot be checked is a finding."""
    findings = []
    for name, check in (_CHECKS | MORE).items():
        try:
            findings.append(Finding(name, *check(root)))
        except UserError as fault:
            findings.append(Finding(name, "missing", fault.message, fault.hint))
        except Exception as fault:  # noqa: BLE001 - the other checks are useful all the same
            findings.append(Finding(name, "missing", f"{type(fault).__name__}: {fault}", ""))
    return findings


def show(findings: list[Finding]) -> None:
    """Print the findings as a table, and what to do below it."""
    console = Console()
    table = Table(box=None, show_header=False)
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(f"[{colours[finding.state]}]{finding.state}[/]", finding.name, finding.text)
    console.print(table)
    for finding in findings:
        if finding.todo:
            text = f"{finding.name}: {finding.todo}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _python(root: Path) -> Result:
    return "ok", ".".join(map(str, sys.version_info[:3])), ""


def _packages(root: Path) -> Result:
    """Every requirement of the distribution, with its caps: some newer versions break silently."""
    wrong = []
    requirements = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    here = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in here:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is absent")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        return "missing", "; ".join(wrong), "Run `make venv`."
    return "ok", f"{len(here)} at versions that work together", ""


def _mlflow(root: Path) -> Result:
    shadow = root / "mlflow" / "__init__.py"
    if shadow.exists():
        return "missing", f"{shadow} shadows the package", f"Remove {shadow}."
    # In the folder of the workspace, as a stage would, and apart from this process.
    code = "import mlflow; print(mlflow.__version__, mlflow.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return "missing", "the package cannot be imported", "Run `make venv`."
    return "ok", done.stdout.split()[0], ""


def _isolation(root: Path) -> Result:
    from falcon.sandbox.isolation import NEEDS, NOT_CONTAINED, probe

    isolation = probe()
    level = isolation.level
    if level == "L0":
        return "missing", f"L0: no program can be run ({'; '.join(isolation.reasons)})", NEEDS
    lines = [level, *(f"not contained: {each}" for each in NOT_CONTAINED[level])]
    text = "\n".join([*lines, *(f"why not {each}" for each in isolation.reasons)])
    if level == "L1":
        todo = "Allow user namespaces or run in a container; else set machine.allow_weak: true."
        return "note", text, todo
    return "ok", text, ""


def _devices(root: Path) -> Result:
    import torch

    cores = len(os.sched_getaffinity(0))
    if not torch.cuda.is_available():
        return "ok", f"{cores} processor cores, no accelerator: profile quick", ""
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "ok", f"{cores} processor cores, {', '.join(names)}: profile gpu", ""


def _model(root: Path) -> Result:
    from falcon.policy.backbone import locate

    name = load_settings(root / "params.yaml").policy.model
    kind, place = locate(name)
    return "ok", f"{name} ({kind} {place})", ""


def _settings(root: Path) -> Result:
    settings = load_settings(root / "params.yaml")
    return "ok", f"{root / 'params.yaml'}, profile {profile_of(settings, root)}", ""


def _data(root: Path) -> Result:
    if not (root / "data.dvc").is_file():
        return "missing", "no data.dvc", "Put problems in data/ and run `dvc add data`."
    folder = root / "data"
    files = [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []
    if not files:
        return "missing", "data.dvc without data/", "Run `dvc pull`."
    return "ok", f"{len(files)} files in data/", ""


def _disk(root: Path) -> Result:
    free = shutil.disk_usage(root).free / 2**30
    text = f"{free:.0f} GiB free"
    if free < LEAST_DISK_GIB:
        return "note", text, "Checkpoints and caches want more: dvc gc -w, or clean up."
    return "ok", text, ""


def _git(root: Path) -> Result:
    if shutil.which("git") is None:
        return "missing", "no git command", "Install git: DVC needs it."
    if not (root / ".git").exists():
        return "note", "no repository here", "Runs cannot be traced to a commit: git init."
    return "ok", str(root), ""


_CHECKS: dict[str, Callable[[Path], Result]] = {
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

MORE: dict[str, Callable[[Path], Result]] = {}
"""Checks that plug-ins add, as commands are added (``flows/cli``)."""
