"""Reproduce: from a registered version to its data, code, settings, memory and score again.

The commit goes into a worktree of git, the data into it by DVC, and what the version is made of
comes from the registry. The scoring itself is done there by the code of that commit
(``reproduction.py``). What is missing is named, the first thing first.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from falcon.env import apply
from falcon.errors import UserError
from tasks.support import dvc
from tasks.support.code_state import PATCH, CodeState, git
from tasks.support.files import path_md5, read_json, write_json, write_text
from tasks.support.handover import fill_model, trained_on
from tasks.support.memory import memory_digest
from tasks.support.mlflow_store import import_mlflow
from tasks.support.model_version import FILES, ModelVersion
from tasks.support.promotion_policy import UNKNOWN
from tasks.support.provenance import settings_hash
from tasks.support.registry import Registry
from tasks.support.version_record import FOLDER

SCORER = Path("tasks") / "support" / "reproduction.py"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Difference:
    """A score that came out another one."""

    name: str
    recorded: Any
    now: Any


@dataclass(frozen=True)
class Reproduced:
    """What a reproduction came to. ``packages`` are those of another version by now."""

    folder: Path
    scores: Mapping[str, Any]
    differences: tuple[Difference, ...]
    packages: tuple[str, ...]


def reproduce(
    registry: Registry, number: str, into: Path | None, say: Say, *, train: bool = False
) -> Reproduced:
    """Lay out a version in ``into`` (default: ``state/reproduce/NUMBER``) and score it again.

    ``train``: train it again first, from what it started from, at the commit that trained it.
    Raises UserError that names the first thing that is missing.
    """
    space = registry.space
    version = registry.versions().get(number)
    if version is None:
        raise UserError(f"`{registry.name}` has no version {number}.", hint="falcon registry")
    root = (into or space.state / "reproduce" / number).resolve()
    parts = root / "state" / "reproduce"
    record, commit, patch = _record(registry, version, "train" if train else "benchmark")
    _check_out(space.root, root, commit, patch, say)
    _fetch_parts(registry, version, parts, record, say)
    packages = tuple(_other_packages(registry, version))
    for text in packages:
        say(f"other package: {text}")
    _fetch_data(space.root, root, version, say)
    if not (root / SCORER).is_file():
        raise UserError(
            f"commit {commit} cannot score a version again: it has no {SCORER}.",
            hint=f"{root} holds its code and data, {parts} what it is made of.",
        )
    differences = _train_again(registry, version, root, record, say) if train else []
    say("scoring it again")
    _run(root, "-m", "tasks.support.reproduction", str(parts))
    scores = read_json(parts / "scores" / "scores.json")["policies"]["trained"]["suites"]
    recorded = record["scores"]["policies"]["trained"]["suites"]
    differences += _compare(recorded, scores, "")
    return Reproduced(root, scores, tuple(differences), packages)


def _train_again(
    registry: Registry, version: ModelVersion, root: Path, record: dict[str, Any], say: Say
) -> list[Difference]:
    """Train from the same start, problems and memory; scores are then of the new adapter."""
    parts, start = root / "state" / "reproduce", version.tags.get("start.version", "base")
    first = None if start == "base" else registry.versions().get(start)
    if first is None and start != "base":
        raise UserError(f"version {start}, which its training started from, is gone.")
    if first is not None:
        registry.download_model(first, parts / "start")
    fill_model(root / "handover" / "start", "start.json", first, parts / "start")
    for stage, what in (("prepare", "problems.parquet"), ("rollout", "memory")):
        run = registry.tracker.run_ids.known(str(record["runs"][stage].get("run_id", "")))
        try:
            registry.tracker.client.download_artifacts(run, f"{stage}/{what}", str(parts))
        except Exception as fault:
            raise UserError(f"{stage}/{what} of run {run} is missing.") from fault
        target = root / "outputs" / stage / what
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(parts / stage / what, target)
    shutil.copyfile(parts / "settings.yaml", root / "outputs" / "settings.yaml")
    say(f"training it again from {'the base model' if first is None else f'version {start}'}")
    _run(root, "-m", "tasks", "train")
    made = root / "outputs" / "train"
    now = {
        "policy.md5": path_md5(made / "policy"),
        "memory.digest": memory_digest(made / "memory"),
    }
    for name in ("adapter", "memory"):
        shutil.rmtree(parts / name)
    shutil.copytree(made / "policy", parts / "adapter")
    shutil.copytree(made / "memory", parts / "memory")
    return _compare({name: version.tags.get(name) for name in now}, now, "")


def _record(
    registry: Registry, version: ModelVersion, stage: str
) -> tuple[dict[str, Any], str, bytes]:
    """The version's record, the commit of one of its stages, and the patch of uncommitted code."""
    client, tracker = registry.tracker.client, registry.tracker
    uri = f"models:/{registry.name}/{version.number}/{FOLDER}"
    import_mlflow().set_tracking_uri(tracker.uri)
    try:
        folder = Path(import_mlflow().artifacts.download_artifacts(artifact_uri=uri))
        record = {name: read_json(folder / f"{name}.json") for name in ("runs", "scores", "gate")}
    except Exception as fault:
        raise UserError(
            f"version {version.number} has no record of its runs and scores ({FOLDER}/).",
            hint="It was registered by an earlier version of falcon, or its artifacts are gone.",
        ) from fault
    marker = record["runs"].get(stage) or {}
    made_by = marker.get("provenance") or version.tags
    commit, digest = str(made_by.get("git.commit", "")), made_by.get("git.patch", "")
    if not commit or commit.startswith(UNKNOWN):
        raise UserError(f"version {version.number} has no commit on record: {commit or 'none'}.")
    if not digest:
        if commit.endswith("-dirty"):
            raise UserError(f"version {version.number}: its uncommitted code was not kept.")
        return record, commit, b""
    run = tracker.run_ids.known(str(marker.get("run_id", "")))
    try:
        patch = Path(client.download_artifacts(run, PATCH)).read_bytes()
    except Exception as fault:
        raise UserError(
            f"version {version.number}: {PATCH} of run {run} is missing.",
            hint="It holds the code that was not committed.",
        ) from fault
    if CodeState(commit, patch).digest != digest:
        raise UserError(f"{PATCH} of run {run} is not the one that was kept.")
    return record, commit.removesuffix("-dirty"), patch


def _check_out(clone: Path, root: Path, commit: str, patch: bytes, say: Say) -> None:
    """A worktree of the commit with its uncommitted code at ``root``."""
    if git(clone, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise UserError(f"commit {commit} is not in this clone.", hint="git fetch --all")
    if (root / ".git").is_file():  # of an earlier try
        git(clone, "worktree", "remove", "--force", str(root))
    if root.exists() and any(root.iterdir()):
        raise UserError(f"{root} is not empty.", hint="Give another folder with --into.")
    git(clone, "worktree", "prune")
    added = git(clone, "worktree", "add", "--detach", "--force", str(root), commit)
    if added.returncode:
        raise UserError(f"git worktree add {root}: {_last(added.stderr)}")
    say(f"code: commit {commit[:12]}{' with code.patch' if patch else ''} in {root}")
    if patch:
        file = root / "state" / PATCH
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(patch)
        applied = git(root, "apply", "--whitespace=nowarn", str(file))
        if applied.returncode:
            raise UserError(f"{PATCH} does not fit commit {commit}: {_last(applied.stderr)}")


def _fetch_parts(
    registry: Registry, version: ModelVersion, parts: Path, record: dict[str, Any], say: Say
) -> None:
    """Adapter, settings, memory and what the scores leave out, each as it was registered."""
    from falcon.config import load_frozen

    registry.download_model(version, parts)
    wanted = version.tags.get("memory.digest", "")
    if not (parts / FILES["memory"]).is_dir():
        raise UserError(f"version {version.number} holds no memory snapshot.")
    if memory_digest(parts / FILES["memory"]) != wanted:
        raise UserError(f"the memory of version {version.number} is not the one registered.")
    # This machine does the work in its own way; that changes no result.
    settings = read_json(parts / FILES["settings"])
    settings["machine"] = registry.settings.machine.model_dump(mode="json")
    write_text(parts / "settings.yaml", yaml.safe_dump(settings, sort_keys=False))
    digest = settings_hash(load_frozen(parts / "settings.yaml"))
    if digest != version.tags["settings.hash"]:
        say("settings: this installation knows others than the version was made with")
    left_out = trained_on(parts)
    if opponent := str(record["gate"]["opponent"]["version"]):
        other = registry.versions().get(opponent)
        if other is None:
            raise UserError(f"version {opponent}, which it was compared with, is gone.")
        # What the model in service had been trained on was left out of the scores, too.
        registry.download_model(other, parts / "opponent")
        left_out = left_out | trained_on(parts / "opponent")
    write_json(parts / "trained_on.json", left_out.as_json())
    say(f"settings, adapter and memory: of version {version.number}")


def _fetch_data(clone: Path, root: Path, version: ModelVersion, say: Say) -> None:
    """The data version, from DVC's cache of the clone or from the remote."""
    wanted, there = version.tags.get("dvc.data.md5", ""), dvc.data_version(root)
    if wanted != there:
        raise UserError(f"its commit names data {there}, version {version.number} says {wanted}.")
    own = clone / ".dvc" / "config.local"  # where remotes and their keys may stand
    if own.is_file():
        shutil.copyfile(own, root / ".dvc" / own.name)
    dvc.run(root, "config", "--local", "cache.dir", str(clone / ".dvc" / "cache"))
    try:
        try:
            dvc.run(root, "checkout", "--quiet", "data.dvc")
        except UserError:
            dvc.run(root, "pull", "--quiet", "data.dvc")
    except UserError as fault:
        raise UserError(
            f"data {wanted} is in no cache or remote of DVC ({fault.message})",
            hint="`dvc push` from a clone that has it, or `dvc remote add` where it lies.",
        ) from fault
    say(f"data: {wanted}")


def _other_packages(registry: Registry, version: ModelVersion) -> list[str]:
    """Packages that the version was made with and that are others here."""
    uri = f"models:/{registry.name}/{version.number}/requirements.txt"
    text = Path(import_mlflow().artifacts.download_artifacts(artifact_uri=uri)).read_text()
    other = []
    for line in text.splitlines():
        name, _, then = line.partition("==")
        if not then:
            continue
        try:
            now = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            now = "absent"
        if now != then:
            other.append(f"{name} {then} then, {now} now")
    return other


def _run(root: Path, *words: str) -> None:
    """Run Python by the code at ``root``. Raises UserError with what it said last."""
    env = {**_inherited(), "PYTHONPATH": str(root)}
    apply(root, env)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        line = _last(done.stderr.encode()).removeprefix("falcon: ")
        raise UserError(f"scoring by the code in {root} failed: {line}")


def _inherited() -> dict[str, str]:
    """Our environment without settings of this clone; its cache of verdicts is as good there."""
    ours = ("FALCON_", "MLFLOW_", "PREFECT_")
    return {k: v for k, v in os.environ.items() if k == "FALCON_CACHE" or not k.startswith(ours)}


def _compare(recorded: Any, now: Any, name: str) -> list[Difference]:
    """Every figure that differs, to the last digit."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        keys = sorted({*recorded, *now})
        found = [_compare(recorded.get(k), now.get(k), f"{name}/{k}".lstrip("/")) for k in keys]
        return [each for some in found for each in some]
    return [] if recorded == now else [Difference(name, recorded, now)]


def _last(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def as_json(made: Reproduced) -> str:
    """The outcome as one JSON object."""
    return json.dumps(
        {
            "folder": str(made.folder),
            "equal": not made.differences,
            "scores": made.scores,
            "differences": [vars(each) for each in made.differences],
            "packages": made.packages,
        }
    )
