"""Registry lock: one promotion, rollback or withdrawal at a time, on this machine and on others.

In this clone a locked file excludes others. On other machines a lease does: a tag of the
registered model with owner and time. MLflow has no compare-and-set, so who writes the lease waits,
reads it again, and has it only if it still is theirs; and looks again before each change.

The lease also holds the change that its owner is making. So one write ends both, and whoever takes
over the lease of an owner that died knows what to complete.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from falcon.errors import UserError
from falcon.memory.log import FolderLock
from tasks.support.lifetime import ProcessId
from tasks.support.service_history import operator

LEASE = "falcon.lease"
STALE_S = 60.0
"""Age in seconds from which a lease belongs to nobody: its owner renews it before."""
SETTLE_S = 0.3
"""Seconds between writing a lease and reading it again: another's write may be on its way."""


def read_lease(model: Any) -> dict[str, Any] | None:
    """The lease on MLflow's record of a registered model, or None."""
    text = model.tags.get(LEASE, "") if model else ""
    return dict(json.loads(text)) if text else None


class RegistryLease:
    """A lease that is held. ``require`` it before each write of a change.

    ``change`` is what its owner has begun and not completed, or None.
    """

    def __init__(self, client: Any, model: str) -> None:
        self._client = client
        self._model = model
        self._owner = {
            "by": operator(),
            "key": secrets.token_hex(8),
            **ProcessId.here().as_json(),
        }
        self._written = 0.0
        self.change: dict[str, Any] | None = None

    def read(self) -> dict[str, Any] | None:
        """The lease as it stands, whoever has it; None when nobody does."""
        found = self._client.search_registered_models(filter_string=f"name = '{self._model}'")
        return read_lease(found[0]) if found else None

    def write(self, *, ended: bool = False) -> None:
        """Write or renew it; ``ended``: as one that anybody may take over."""
        self._written = 0.0 if ended else time.time()
        value = json.dumps({**self._owner, "time": self._written, "change": self.change})
        self._client.set_registered_model_tag(self._model, LEASE, value)

    def is_ours(self, lease: dict[str, Any] | None) -> bool:
        """Whether a lease is this one."""
        return lease is not None and lease.get("key") == self._owner["key"]

    def require(self) -> None:
        """Renew an ageing lease. Raises UserError when another has it by now."""
        if not self.is_ours(holder := self.read()):
            by = holder["by"] if holder else "somebody"
            raise UserError(
                f"{by} took over the registry while this command was waiting.",
                hint="Look at `falcon registry` and give the command again.",
            )
        if time.time() - self._written > STALE_S / 4:
            self.write()

    def begin(self, change: dict[str, Any] | None) -> None:
        """Write down a change before its first write; None: it is complete."""
        self.require()
        self.change = change
        self.write()

    def release(self) -> None:
        """Give it back, if it still is ours; a change that is not complete stays in it."""
        if not self.is_ours(self.read()):
            return
        if self.change is None:
            self._client.delete_registered_model_tag(self._model, LEASE)
        else:
            self.write(ended=True)


def _is_stale(lease: dict[str, Any]) -> bool:
    # A time far ahead is that of a wrong clock, and would hold for ever.
    if abs(time.time() - float(lease.get("time", 0.0))) > STALE_S:
        return True
    return ProcessId.of(lease).is_dead


@contextmanager
def registry_lock(
    client: Any, model: str, state: Path, *, patience: float = 10.0
) -> Iterator[RegistryLease]:
    """Hold the registry of ``model``. Raises UserError after ``patience`` seconds of waiting.

    A block that ends well has completed its change; after a fault the change stays in the lease.
    """
    until = time.monotonic() + patience
    state.mkdir(parents=True, exist_ok=True)
    local = _lock_file(state, until)
    lease = RegistryLease(client, model)
    try:
        _take(lease, until)
        try:
            yield lease
            lease.change = None
        finally:
            lease.release()
    finally:
        local.release()


def _lock_file(state: Path, until: float) -> FolderLock:
    while True:
        try:
            return FolderLock(state / "registry")
        except BlockingIOError as fault:
            if time.monotonic() > until:
                raise _busy(f"it is {fault.strerror} of this clone") from None
        time.sleep(0.1)


def _take(lease: RegistryLease, until: float) -> None:
    while True:
        holder = lease.read()
        if holder is None or _is_stale(holder):
            lease.change = holder and holder.get("change")
            _write_first(lease)
            time.sleep(SETTLE_S)
            if lease.is_ours(holder := lease.read()):
                return
        if time.monotonic() > until:
            by = holder["by"] if holder else "somebody else"
            raise _busy(f"{by} has it; a lease that is not renewed ends after {STALE_S:.0f} s")
        time.sleep(SETTLE_S * (1 + random.random()))  # two that collide must not do so again


def _write_first(lease: RegistryLease) -> None:
    """Write a lease that may be the first: of two that write it at once a database takes one."""
    from mlflow.exceptions import MlflowException

    try:
        lease.write()
    except MlflowException:
        if lease.read() is None:
            raise


def _busy(why: str) -> UserError:
    return UserError(
        f"another promotion, rollback or withdrawal is going on ({why}).",
        hint="Look at `falcon registry` and give the command again.",
    )
