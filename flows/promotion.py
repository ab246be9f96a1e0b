"""Promotion, rollback and withdrawal: flows that move the aliases of the registry.

They change what is in service, so they are no DVC stages. ``falcon promote`` does the same without
Prefect; on a Prefect server it is on record who did it and when.
"""

from falcon.env import apply

apply()

from prefect import flow, get_run_logger  # noqa: E402 - the environment comes first

from falcon.config import Event  # noqa: E402
from flows.approval import wait_for_answer  # noqa: E402
from flows.body import flow_body  # noqa: E402
from flows.notify import failed, notify  # noqa: E402
from tasks.flow_page import publish  # noqa: E402
from tasks.support.promotion_policy import read_policy  # noqa: E402
from tasks.support.registry import Registry  # noqa: E402


def _report(text: str, version: str, event: Event = "promotion") -> None:
    """Say what was done: in the log, on the run's page, and to who asked to be told."""
    get_run_logger().info(text)
    publish("falcon-promotion", f"{text[:1].upper()}{text[1:]}.")
    notify(event, text, version=version)


@flow(name="falcon-promote", on_failure=[failed])  # type: ignore[untyped-decorator]
@flow_body(alone=False)
def promote(
    version: str = "", approve: bool = False, why: str = "", by: str = "", ask: bool = False
) -> str:
    """Put the trained model into service; returns the version that is, or "".

    ``version``: this one, by the gate's decision on record, whatever was trained since. ``ask``:
    suspended until a person has approved. ``approve`` sets aside what the promotion policy lets a
    person set aside.
    """
    registry = Registry.here()
    if ask:
        answer = wait_for_answer(read_policy(registry.space.root).promotion.approval_hours)
        why, by = answer.why, answer.by
        if not answer.approve:
            text = f"version {version} is not promoted: {why or 'refused'} ({by or 'a person'})"
            _report(text, version, "refusal")
            return ""
    if not version:
        registry.register()
    promoted = registry.promote(number=version, approve=approve, why=why, by=by)
    _report(f"version {promoted.number} is in service", promoted.number)
    return promoted.number


@flow(name="falcon-rollback", on_failure=[failed])  # type: ignore[untyped-decorator]
@flow_body(alone=False)
def rollback(to: str = "", approve: bool = False, why: str = "", by: str = "") -> str:
    """Withdraw the champion and put the one before it back into service; returns its version.

    ``to``: another version than that. ``approve``: also one that was withdrawn.
    """
    version = Registry.here().rollback(to=to, approve=approve, why=why, by=by)
    _report(f"version {version.number} is in service again", version.number)
    return version.number


@flow(name="falcon-withdraw", on_failure=[failed])  # type: ignore[untyped-decorator]
@flow_body(alone=False)
def withdraw(number: str = "", why: str = "", by: str = "") -> str:
    """Withdraw a version (default: the champion), so that no run puts it back; says what was done."""
    text = str(Registry.here().withdraw(number, why=why, by=by))
    _report(text, number)
    return text
