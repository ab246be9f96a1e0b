"""Alias moves: a change of what is in service, as writes in an order that survives a crash.

MLflow has no transaction. So the whole change is first written into the lease of the registry, and
then made. Each write may be made twice. Whoever takes over the lease completes what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tasks.support.model_version import ModelVersion
from tasks.support.promotion_policy import Command
from tasks.support.registry_lock import RegistryLease
from tasks.support.service_history import (
    HISTORY,
    WITHDRAWN,
    ServiceEvent,
    added,
    entered,
    withdrawn,
)

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


@dataclass(frozen=True)
class Move:
    """A change of what is in service. ``new``, ``old``, ``withdrawn``: version numbers or "".

    ``command`` is promote, rollback or withdraw; ``how`` what its history says of ``new``.
    """

    command: Command
    how: str
    new: str
    old: str
    withdrawn: str = ""
    serial: int = 0
    when: str = ""
    by: str = ""
    why: str = ""

    def __str__(self) -> str:
        parts = [f"version {self.withdrawn} is withdrawn"] if self.withdrawn else []
        if self.new:
            parts.append(f"version {self.new} is in service")
        elif self.old:
            parts.append("no version is in service")
        return ", ".join(parts)

    def events(self) -> dict[str, ServiceEvent]:
        """What goes into the history of each version."""

        def event(what: str, other: str) -> ServiceEvent:
            return ServiceEvent(self.serial, what, self.when, self.by, self.why, other)

        found = {}
        if self.old and self.old != self.withdrawn:
            found[self.old] = event("replaced", self.new)
        if self.withdrawn:
            found[self.withdrawn] = event("withdrawn", self.new)
        if self.new:
            found[self.new] = event(self.how, self.old)
        return found


def way_back(versions: Mapping[str, ModelVersion], champion: str) -> str:
    """The version that a rollback goes to, or "": of those that were in service and are not
    withdrawn, the one that went into service last."""
    times = {
        number: (event.serial, event.when)
        for number, version in versions.items()
        if number != champion and not withdrawn(version.tags) and (event := entered(version.tags))
    }
    return max(times, key=lambda number: times[number], default="")


def make(
    move: Move, client: Any, name: str, versions: Mapping[str, ModelVersion], lease: RegistryLease
) -> None:
    """Make a move, or what is left of one. Raises UserError when the lease was lost.

    ``versions`` are all versions of the model ``name``, by number.
    """
    lease.begin(asdict(move))
    after = dict(versions)
    for number, event in move.events().items():
        tags = dict(versions[number].tags)
        tags[HISTORY] = added(tags, event)
        after[number] = ModelVersion(number, versions[number].run_id, tags)
        lease.require()
        client.set_model_version_tag(name, number, HISTORY, tags[HISTORY])
        if event.what == "withdrawn":
            client.set_model_version_tag(name, number, WITHDRAWN, str(event))
    aliases = client.get_registered_model(name).aliases
    serves = move.new if move.new or move.old else str(aliases.get(CHAMPION, ""))
    _point(client, name, PREVIOUS, way_back(after, serves), lease)
    _point(client, name, CHAMPION, serves, lease)
    if str(aliases.get(CHALLENGER, "")) in {move.new, move.withdrawn} - {""}:
        _point(client, name, CHALLENGER, "", lease)


def _point(client: Any, name: str, alias: str, number: str, lease: RegistryLease) -> None:
    lease.require()
    if number:
        client.set_registered_model_alias(name, alias, number)
    else:
        client.delete_registered_model_alias(name, alias)
