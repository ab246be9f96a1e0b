"""Service history: when a version was in service, who put it there or took it away, and why.

Kept as the tag ``in_service`` of the version: a JSON list of events that only grows. Their serial
numbers count over all versions of the model, so their order does not depend on any clock.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

HISTORY, WITHDRAWN = "in_service", "withdrawn"
BACK = "rolled back to"
ENTERED = ("promoted", "approved", BACK)


@dataclass(frozen=True)
class ServiceEvent:
    """One event of a version. ``other`` is the version it took over from or made way for."""

    serial: int
    what: str
    when: str
    by: str
    why: str = ""
    other: str = ""

    def __str__(self) -> str:
        by, why = f" by {self.by}" if self.by else "", f": {self.why}" if self.why else ""
        return f"{self.what} {self.when}{by}{why}"


def events(tags: Mapping[str, str]) -> list[ServiceEvent]:
    """The events of a version, oldest first."""
    text = tags.get(HISTORY, "")
    if text and not text.startswith("["):
        # As written before there was a history: "TIME (how)".
        when, _, how = text.partition(" (")
        return [ServiceEvent(0, "promoted", when, "", how.rstrip(")"))]
    return [ServiceEvent(**each) for each in json.loads(text or "[]")]


def entered(tags: Mapping[str, str]) -> ServiceEvent | None:
    """The last time that a version went into service, or None."""
    return next((e for e in reversed(events(tags)) if e.what in ENTERED), None)


def withdrawn(tags: Mapping[str, str]) -> ServiceEvent | None:
    """The withdrawal of a version that has not been put back since, or None."""
    for event in reversed(events(tags)):
        if event.what in ENTERED:
            return None
        if event.what == "withdrawn":
            return event
    return None


def past(number: str, tags: Mapping[str, str]) -> str:
    """In words, whether a version was ever in service or withdrawn; "" if neither."""
    event = withdrawn(tags) or entered(tags)
    if event is None:
        return ""
    what = "was withdrawn" if event.what == "withdrawn" else "was in service before"
    detail = str(event).partition(" ")[2] if event.what == "withdrawn" else f"since {event.when}"
    return f"version {number} {what} ({detail})"


def start_withdrawn(tags: Mapping[str, str], versions: Mapping[str, Mapping[str, str]]) -> str:
    """In words, whether the version that this one's training started from is withdrawn, else "".

    ``versions`` are the tags of all versions by number. What was wrong with that one is likely to
    be wrong with this one, which a rollback in the midst of its training did not stop.
    """
    start = tags.get("start.version", "")
    event = withdrawn(versions.get(start, {}))
    return f"it was trained from version {start}, {event}" if event else ""


def added(tags: Mapping[str, str], event: ServiceEvent) -> str:
    """The tag with one more event; the same when it is there already."""
    kept = events(tags)
    if not any((e.serial, e.what) == (event.serial, event.what) for e in kept):
        kept.append(event)
    return json.dumps([asdict(e) for e in kept])


def last_serial(all_tags: Iterable[Mapping[str, str]]) -> int:
    """The greatest serial number of all versions; 0 before the first event."""
    return max((e.serial for tags in all_tags for e in events(tags)), default=0)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def operator() -> str:
    """Who gives this command: user@host. A user without a name is called by their number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no passwd file knows
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
