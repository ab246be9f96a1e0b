"""Prefect's logs: a user's mistake is one line there, not a traceback."""

import logging
import os

from falcon.errors import UserError

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, UserError):
            record.exc_info = None
            record.exc_text = None
        return True


def hide_tracebacks() -> None:
    """Cut the tracebacks of UserErrors in flow and task logs, unless FALCON_DEBUG=1."""
    if os.environ.get("FALCON_DEBUG") == "1":
        return
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _OneLine) for each in logger.filters):
            logger.addFilter(_OneLine())
