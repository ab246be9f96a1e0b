"""Notify: a message about a promotion, a refusal, a failure, or a version that waits for approval.

It goes to the Prefect block that the setting `notify.block` names, else to the address in
FALCON_WEBHOOK. An address is a secret: it stands in no file of settings, no log and no message. A
message that cannot be sent is a warning; the run goes on.
"""

import asyncio
import logging
import os
import threading
from typing import Any

from falcon.env import apply

apply()

from prefect.blocks.abstract import NotificationBlock  # noqa: E402 - the environment comes first
from prefect.blocks.core import Block  # noqa: E402
from prefect.blocks.webhook import Webhook  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from falcon.config import Event, NotifySettings  # noqa: E402
from falcon.errors import without_passwords  # noqa: E402
from tasks.support.run_report import PipelineResult  # noqa: E402
from tasks.support.workspace import Workspace  # noqa: E402

ADDRESS = "FALCON_WEBHOOK"
WAITS = "it waits for"
"""How the reason begins why a version is not promoted yet that a person must approve of."""
SECONDS = 30.0
"""What sending may take."""

_log = logging.getLogger("prefect.flow_runs.notify")


def notify(event: Event, text: str, **facts: str) -> None:
    """Send a message, if the settings of this workspace ask for it. ``facts``: such as version."""
    try:
        settings = Workspace.here().settings().notify
        if event not in settings.events or not (settings.block or os.environ.get(ADDRESS)):
            return
        facts["prefect"] = os.environ.get("FALCON_PREFECT_RUN_URL", "")
        _in_time(settings, event, without_passwords(text), facts)
    except Exception as fault:  # noqa: BLE001 - the message of a fault may hold the address
        _log.warning("the message about the %s is not sent: %s", event, type(fault).__name__)


def _in_time(settings: NotifySettings, event: Event, text: str, facts: dict[str, str]) -> None:
    # In a thread of its own: a flow and a hook may or may not have an event loop already.
    faults: list[Exception] = []

    def work() -> None:
        try:
            asyncio.run(asyncio.wait_for(_send(settings, event, text, facts), SECONDS))
        except Exception as fault:  # noqa: BLE001 - handed to the caller
            faults.append(fault)

    thread = threading.Thread(target=work, daemon=True, name="notify")
    thread.start()
    thread.join(SECONDS + 5.0)
    if faults:
        raise faults[0]
    if thread.is_alive():
        raise TimeoutError


async def _send(settings: NotifySettings, event: Event, text: str, facts: dict[str, str]) -> None:
    block: Any
    if settings.block:
        block = await Block.aload(settings.block)
    else:
        block = Webhook(url=SecretStr(os.environ[ADDRESS]))
    if isinstance(block, NotificationBlock):
        lines = [text, *(f"{name}: {value}" for name, value in facts.items() if value)]
        await block.anotify("\n".join(lines), subject=f"FALCON: {event}")
        return
    # `text` is what most chats show of what is posted to them.
    reply = await block.call({"event": event, "text": text, **facts})
    reply.raise_for_status()


def failed(flow: Any, run: Any, state: Any) -> None:
    """Hook of a flow that failed or whose process died."""
    notify("failure", f"{flow.name}, run {run.name}: {state.message or state.name}")


def notify_result(result: PipelineResult) -> None:
    """Say what became of the model that was trained."""
    if result.why_not.startswith(WAITS):
        return  # who is asked has been told
    if result.promoted:
        notify("promotion", f"version {result.version} is in service", version=result.version)
        return
    reasons = [f"{r['name']}: {r['said']}" for r in result.decision["reasons"] if not r["passed"]]
    why = "; ".join(filter(None, [result.why_not, *reasons]))
    notify("refusal", f"version {result.version} is not promoted: {why}", version=result.version)
