"""Provenance: what a run was made of, which run made the present results, and what the gate judged.

``state/runs/STAGE.json`` maps a fingerprint of a stage's results to the run that made them. So the
run is found again when DVC restores older results from its cache.
"""

import hashlib
import json
import math
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from falcon.config import FREE, Settings, profile_of
from falcon.env import state_dir
from falcon.errors import UserError
from tasks.support.code_state import PATCH, code_state
from tasks.support.dvc import data_version, entry_hash, lock, out_hash
from tasks.support.files import path_md5, read_json, write_json, write_text
from tasks.support.workspace import Workspace

NO_DATA = "none (no data.dvc)"

KEPT = 20
"""Newest runs of a stage that are remembered."""


def provenance(root: Path, settings: Settings) -> dict[str, str]:
    """Git commit (with ``-dirty``), data version, settings hash and profile, of this moment.

    What there is none of says why: "none (no commit yet)". Uncommitted code is kept as
    ``state/patches/DIGEST/code.patch``, and its digest is ``git.patch``.
    """
    code = code_state(root)
    code.save(state_dir(root) / "patches")
    found = {
        "git.commit": code.commit,
        "dvc.data.md5": data_version(root) if (root / "data.dvc").is_file() else NO_DATA,
        "settings.hash": settings_hash(settings),
        "profile": profile_of(settings, root),
    }
    return {**found, "git.patch": code.digest} if code.patch else found


def patch_file(root: Path, found: Mapping[str, str]) -> Path | None:
    """The patch that a provenance names, or None."""
    digest = found.get("git.patch", "")
    return state_dir(root) / "patches" / digest / PATCH if digest else None


def settings_hash(settings: Settings) -> str:
    """sha256 of the resolved settings without tracking and machine, 16 hex digits."""
    tree = settings.model_dump(mode="json", exclude=set(FREE))
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def _read(space: Workspace, stage: str) -> tuple[Path, str, dict[str, Any]]:
    """The file of a stage, the fingerprint of its present results ("": none), and all runs."""
    small = [space.output(stage) / name for name in ("metrics.json", "checks.json")]
    present = all(path.is_file() for path in small)
    key = hashlib.sha256(b"".join(p.read_bytes() for p in small)).hexdigest() if present else ""
    file = space.state / "runs" / f"{stage}.json"
    return file, key, json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def read_marker(space: Workspace, stage: str) -> dict[str, Any]:
    """The run that made the present results of a stage; empty when that is unknown."""
    _, key, runs = _read(space, stage)
    return dict(runs.get(key, {}))


def write_start(space: Workspace, stage: str, run: str, found: Mapping[str, str]) -> None:
    """Keep the provenance of the moment a stage starts, for the marker that comes at its end.

    A run that goes on after an interruption keeps its first one, and says when code differs.
    """
    file = space.state / "runs" / f"{stage}.started.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    kept = dict(found)
    if before.get("run_id") == run:
        kept = before["provenance"]
        if any(kept.get(key) != found.get(key) for key in ("git.commit", "git.patch")):
            kept["git.resumed"] = found["git.commit"]
    write_json(file, {"run_id": run, "provenance": kept})


def _started(space: Workspace, stage: str, run: str) -> dict[str, str]:
    file = space.state / "runs" / f"{stage}.started.json"
    start = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return dict(start["provenance"]) if start.get("run_id") == run else {}


def write_marker(
    space: Workspace,
    stage: str,
    run: str,
    seconds: Mapping[str, float],
    digests: Mapping[str, str],
) -> None:
    """Record that ``run`` made the present results; ``seconds`` are those of each kind of work
    and, as ``stage``, those of all of it; ``digests`` those of results, by their tags."""
    file, key, runs = _read(space, stage)
    runs.pop(key, None)
    runs[key] = {
        "run_id": run,
        "parent_run_id": os.environ.get("FALCON_PARENT_RUN_ID", ""),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "seconds": seconds["stage"],
        "time": {k: v for k, v in seconds.items() if k != "stage" and math.isfinite(v)},
        "provenance": _started(space, stage, run),
        "digests": dict(digests),
    }
    # The newest stands last. Sorted keys would lose that order, so this is not `write_json`.
    newest = dict(list(runs.items())[-KEPT:])
    write_text(file, json.dumps(newest, indent=2) + "\n")


def read_gate(space: Workspace) -> dict[str, Any]:
    """``gate.json``. Raises UserError when the gate stage has not run."""
    hint = "Run `falcon run` or `dvc repro gate`."
    return dict(read_json(space.output("gate") / "gate.json", hint=hint))


def require_unchanged(space: Workspace, decision: dict[str, Any]) -> None:
    """Raise UserError unless the decision is about exactly the present results.

    Compares the gate file with ``dvc.lock``, every stage's entry, the policy's files and the
    settings.
    """
    hint = "Run `falcon run` again."
    entries = lock(space.root)
    file = space.output("gate") / "gate.json"
    if out_hash(space.root, "gate", "outputs/gate/gate.json") != path_md5(file):
        raise UserError(f"{file} is not the one that DVC saw the gate stage make.", hint=hint)
    for name, judged in decision["stages"].items():
        if name not in entries or entry_hash(entries[name]) != judged:
            raise UserError(
                f"the gate judged another result of `{name}` than the present one.", hint=hint
            )
    policy = space.output("train") / "policy"
    if not policy.is_dir() or path_md5(policy) != decision["policy"]:
        raise UserError(f"{policy} is not the policy that the gate judged.", hint=hint)
    if settings_hash(space.stage_settings()) != decision["settings"]:
        raise UserError("the gate judged results of other settings than these.", hint=hint)
