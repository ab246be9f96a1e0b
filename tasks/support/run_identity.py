"""Run identity: what a run of MLflow is called, and who started it, from what, and where."""

import getpass
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from falcon.config import Settings, profile_of
from falcon.errors import without_passwords
from tasks.support.code_state import git


def run_name(stage: str, settings: Settings, root: Path) -> str:
    """Such as "train quick 6 steps seed 3": stage, profile and what else tells runs apart."""
    steps = f"{settings.train.steps} steps " if stage in ("train", "pipeline") else ""
    return f"{stage} {profile_of(settings, root)} {steps}seed {settings.seed}"


def identity_tags(root: Path, tags: Mapping[str, str]) -> dict[str, str]:
    """MLflow's own tags of user, source and git, and Prefect's flow run, where there are any.

    ``tags`` are those of the run, whose ``git.commit`` is taken over.
    """
    found = {
        "mlflow.user": _user(),
        "mlflow.source.name": _source(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": tags.get("git.commit", "").partition("-")[0],
        "mlflow.source.git.branch": _git(root, "symbolic-ref", "--short", "-q", "HEAD"),
        "mlflow.source.git.repoURL": without_passwords(
            _git(root, "config", "--get", "remote.origin.url")
        ),
        "prefect.flow_run_id": os.environ.get("FALCON_PREFECT_RUN_ID", ""),
        "prefect.flow_run_url": os.environ.get("FALCON_PREFECT_RUN_URL", ""),
    }
    if len(found["mlflow.source.git.commit"]) != 40:  # in words why there is none
        del found["mlflow.source.git.commit"]
    return {name: value for name, value in found.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without an entry among the users, as in containers
        return str(os.getuid())


def _source() -> str:
    """The command line, with the module's name where Python was given one."""
    command, *words = sys.argv or [""]
    file = Path(command)
    module = f"python -m {file.parent.name}" if file.name == "__main__.py" else file.name
    return without_passwords(" ".join([module, *words]))[:500]


def _git(root: Path, *words: str) -> str:
    if shutil.which("git") is None:
        return ""
    return git(root, *words).stdout.decode(errors="replace").strip()
