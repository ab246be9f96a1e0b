"""Settled: whether everything of the last run still stands, so that another would change nothing.

At the end of a run ``state/settled.json`` says what it came to and on what. If DVC finds nothing
stale, and decision, promotion policy and model in service are the same, the answer is still that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tasks.support import dvc
from tasks.support.errors import RegistryUnavailable
from tasks.support.files import path_md5, read_json, write_json
from tasks.support.params import is_frozen
from tasks.support.provenance import read_gate, read_marker
from tasks.support.run_report import PipelineResult, StageOutcome
from tasks.support.workspace import STAGES, Workspace

if TYPE_CHECKING:
    from falcon.config import Settings
    from tasks.support.registry import Registry


def remember(registry: Registry, result: PipelineResult) -> None:
    """Keep what a run came to, once it has ended well."""
    space = registry.space
    facts = {**_facts(space, registry.settings), "champion": _champion(registry)}
    said = {"version": result.version, "why_not": result.why_not}
    write_json(space.state / "settled.json", {"facts": facts, "said": said})


def look(space: Workspace, settings: Settings) -> Callable[[], PipelineResult | None]:
    """Begin to look whether another run would change nothing; DVC is asked in the background.

    The answer, when called for, is what the last run came to. None where that is not certain:
    something is stale, the registry is away, or calls of an outage or a run that was killed wait
    to be seen to.
    """
    since = time.monotonic()
    file = space.state / "settled.json"
    if not file.is_file() or any((space.state / "active").glob("*.json")) or not is_frozen(space):
        return lambda: None
    kept = read_json(file)
    if {**_facts(space, settings), "champion": kept["facts"]["champion"]} != kept["facts"]:
        return lambda: None
    pool = ThreadPoolExecutor(1)
    stale = pool.submit(dvc.stale, space.root)

    def answer() -> PipelineResult | None:
        champion = _champion_now(space, settings)
        if stale.result() or champion != kept["facts"]["champion"]:
            return None
        outcomes = tuple(
            StageOutcome(name, "up to date", 0.0, read_marker(space, name).get("run_id", ""))
            for name in STAGES
        )
        version, why_not = kept["said"]["version"], kept["said"]["why_not"]
        seconds = time.monotonic() - since
        decision = read_gate(space)
        return PipelineResult(outcomes, decision, version, champion == version, why_not, seconds)

    return answer


def _facts(space: Workspace, settings: Settings) -> dict[str, Any]:
    from tasks.support.mlflow_store import tracking_uri

    entries, policy = dvc.lock(space.root), space.root / "mlflow" / "registry.yaml"
    return {
        "stages": {name: dvc.entry_hash(entries.get(name)) for name in STAGES},
        "policy": path_md5(policy) if policy.is_file() else "",
        "tracker": tracking_uri(settings, space),
        "model": settings.tracking.registered_model,
    }


def _champion(registry: Registry) -> str:
    champion = registry.by_alias("champion")
    return champion.number if champion else ""


def _champion_now(space: Workspace, settings: Settings) -> str | None:
    """The version in service; None if the registry is away or calls wait for the tracker."""
    from tasks.support.registry import Registry
    from tasks.support.tracking import Tracker

    tracker = Tracker(settings, space)
    if tracker.queue.pending():
        return None
    try:
        return _champion(Registry(tracker, settings))
    except RegistryUnavailable:
        return None
