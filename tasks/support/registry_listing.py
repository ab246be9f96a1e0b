"""Registry listing: who serves, since when and why, what came before, and what each is made of."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.support.alias_moves import CHALLENGER, CHAMPION, PREVIOUS
from tasks.support.model_version import ModelVersion
from tasks.support.registry import Registry
from tasks.support.registry_lock import read_lease
from tasks.support.service_history import entered, events, withdrawn

SHOWN = 12
"""Newest versions on the screen, beside the one in service."""

LINEAGE = (
    "start.version", "dvc.data.md5", "git.commit", "git.patch", "settings.hash", "profile",
    "policy.md5", "memory.digest", "run.train", "run.pipeline",
)  # fmt: skip
"""Tags that say what a version is made of."""


def listing(registry: Registry) -> dict[str, Any]:
    """All of it as plain data, versions newest first."""
    model = registry.model()
    aliases = {name: str(number) for name, number in (model.aliases if model else {}).items()}
    lease = read_lease(model)
    versions = reversed(list(registry.versions().values()) if model else [])
    return {
        "model": registry.name,
        "champion": aliases.get(CHAMPION, ""),
        "challenger": aliases.get(CHALLENGER, ""),
        "rollback_goes_to": aliases.get(PREVIOUS, ""),
        "changing": lease and {"by": lease.get("by", ""), "change": lease.get("change")},
        "versions": [_version(each, aliases) for each in versions],
    }


def _version(version: ModelVersion, aliases: dict[str, str]) -> dict[str, Any]:
    tags = version.tags
    gone, came = withdrawn(tags), entered(tags)
    if aliases.get(CHAMPION) == version.number:
        state, last = "in service", came
    elif gone is not None:
        state, last = "withdrawn", gone
    elif came is not None:
        state, last = "was in service", events(tags)[-1]
    elif aliases.get(CHALLENGER) == version.number:
        state, last = "challenger", None
    else:
        state, last = "not promoted", None
    return {
        "version": version.number,
        "state": state,
        "since": last.when if last else "",
        "by": last.by if last else "",
        "why": last.why if last else "",
        "took_over_from": came.other if came else "",
        "gate": tags.get("gate", ""),
        "scores": json.loads(tags.get("scores") or "{}"),
        "lineage": {name: tags[name] for name in LINEAGE if tags.get(name)},
        "history": [asdict(event) for event in events(tags)],
    }


def show(found: dict[str, Any], out: Console) -> None:
    """Print it on one screen: the version in service, then the newest ones."""

    def say(text: str) -> None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)

    versions = {each["version"]: each for each in found["versions"]}
    serving = versions.get(found["champion"])
    if serving is None:
        say(f"{found['model']}: no version is in service")
    else:
        how = serving["history"][-1]["what"] if serving["history"] else ""
        before = serving["took_over_from"]
        say(f"{found['model']}: version {serving['version']} is in service")
        say(f"  since    {serving['since']} ({', '.join(filter(None, (how, serving['by'])))})")
        say(f"  why      {serving['why'] or 'the gate: ' + (serving['gate'] or 'not asked')}")
        say(f"  before   {f'version {before}' if before else 'none'}")
        say(f"  rollback {_goes_to(found)}")
        for name, value in serving["lineage"].items():
            say(f"  {name:<14} {value}")
    if found["changing"] is not None:
        what = "is changing it" if found["changing"]["change"] else "holds it"
        say(f"  {found['changing']['by']} {what} at this moment, or was cut off")
    if others := [v for v in found["versions"][:SHOWN] if v is not serving]:
        out.print(_table(others))
    if (more := len(versions) - SHOWN) > 0:
        say(f"{more} older versions: falcon registry --json")


def _goes_to(found: dict[str, Any]) -> str:
    number = found["rollback_goes_to"]
    return f"goes to version {number}" if number else "has nothing to go to"


def _table(versions: list[dict[str, Any]]) -> Table:
    table = Table(title="Other versions", title_justify="left")
    for name in ("version", "state", "since", "by", "why", "gate", "pass@1", "start", "commit"):
        table.add_column(name, overflow="fold")
    for each in versions:
        scores = [
            f"{s['pass_at_1']:.3f}"
            for s in each["scores"].values()
            if s.get("pass_at_1") is not None
        ]
        lineage = each["lineage"]
        commit = lineage.get("git.commit", "")
        table.add_row(
            each["version"],
            each["state"],
            each["since"][:16],
            each["by"],
            each["why"],
            each["gate"],
            " ".join(scores),
            lineage.get("start.version", ""),
            commit[:8] + ("*" if commit.endswith("-dirty") else ""),
        )
    return table
