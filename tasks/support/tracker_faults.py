"""Why a tracker cannot be used: an address that cannot be right, or one that is merely away.

What is wrong is said in one line before any work begins; what is away may come back, so work goes
on and its record waits in the queue (``offline_queue.py``).
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from falcon.errors import UserError, without_passwords
from tasks.support.mlflow_store import DATABASES

CORRECT = "Correct tracking.uri in params.yaml, or MLFLOW_TRACKING_URI."
_DRIVERS = {
    "psycopg2": "pip install psycopg2-binary",
    "MySQLdb": "pip install mysqlclient (or pymysql, and mysql+pymysql:// in the address)",
}
_REFUSED = re.compile(
    r"password authentication failed|no password supplied|Access denied for user|pg_hba\.conf"
    r"|(?:role|database) \"[^\"]*\" does not exist|Unknown database|permission denied for"
)
_NO_HOST = re.compile(r"Name or service not known|nodename nor servname|No address associated")
_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}


@contextmanager
def impatient() -> Iterator[None]:
    """Let MLflow wait for a server a few seconds only, once."""
    before = {name: os.environ.get(name) for name in _IMPATIENT}
    os.environ.update(_IMPATIENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def connect_once(uri: str) -> None:
    """Connect to a database server and leave. Does nothing for other addresses.

    MLflow tries ten times, which takes a minute, and hides why. Raises what the driver raises.
    """
    if not uri.startswith(DATABASES):
        return
    import sqlalchemy

    url = sqlalchemy.make_url(uri)
    waits = url.get_backend_name() in ("postgresql", "mysql")
    arguments = {"connect_timeout": 5} if waits and "connect_timeout" not in url.query else {}
    engine = sqlalchemy.create_engine(url, connect_args=arguments)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def why(fault: BaseException) -> str:
    """What a fault says, in part of a line and without passwords."""
    text = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
    if "Caused by" in text:  # requests names the address first and the reason last
        text = text.rpartition("Caused by ")[2].removesuffix(")")
        text = re.sub(r"^\w+\(\"?(?:<[^>]*>: |\w+\(.*?\): )?", "", text).rstrip("\")'")
    return without_passwords(text.removesuffix(".").strip())[:200]


def wrong_tracker(fault: BaseException, uri: str) -> UserError | None:
    """``fault`` in one line if the address cannot be right; None if the tracker may be away."""
    chain = list(_chain(fault))
    said = " ".join(str(each) for each in chain)
    code = getattr(fault, "error_code", "")
    for each in chain:
        if isinstance(each, UserError):
            return each
        if isinstance(each, ImportError):
            return _no_driver(each, uri)
        if isinstance(each, ssl.SSLError):
            return _error(
                uri, f"no safe connection ({why(each)})", "http:// or https://? Or a certificate."
            )
        if isinstance(each, socket.gaierror) and each.errno != socket.EAI_AGAIN:
            return _error(uri, "there is no such host", CORRECT)
    if _NO_HOST.search(said):
        return _error(uri, "there is no such host", CORRECT)
    if _REFUSED.search(said):
        return _error(uri, f"it refuses us ({why(fault)})", CORRECT)
    if "out-of-date database schema" in said:
        return _error(
            uri,
            "its tables are of another version of MLflow",
            "Install that version; or, if they are older, keep a copy and `mlflow db upgrade`.",
        )
    return _wrong_answer(fault, uri, code, said)


def _wrong_answer(fault: BaseException, uri: str, code: str, said: str) -> UserError | None:
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return _error(
            uri,
            "it asks for another user and password",
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
        )
    if code == "PERMISSION_DENIED":
        hint = "Ask who runs it for the right to write runs and models"
        return _error(uri, f"it refuses us ({why(fault)})", f"{hint} (or for your host's name).")
    if code in ("ENDPOINT_NOT_FOUND", "NOT_FOUND") or "valid JSON" in said:
        return _error(uri, "no MLflow server is there, or one too old", CORRECT)
    scheme = uri.partition(":")[0]
    if type(fault).__name__.startswith("Unsupported") or "NoSuchModuleError" in _types(fault):
        kinds = "http, https, sqlite, postgresql, mysql, mssql"
        return _error(uri, f"`{scheme}` is no kind of tracker ({kinds})", CORRECT)
    if code == "INVALID_PARAMETER_VALUE" or {"InvalidUrlException", "ArgumentError"} & _types(
        fault
    ):
        return _error(uri, f"it cannot be used ({why(fault)})", CORRECT)
    return None


def _types(fault: BaseException) -> set[str]:
    return {type(each).__name__ for each in _chain(fault)}


def _no_driver(fault: ImportError, uri: str) -> UserError:
    package = fault.name or why(fault)
    hint = _DRIVERS.get(package, f"pip install {package}")
    return _error(uri, f"the Python package {package} is not installed", hint)


def _error(uri: str, text: str, hint: str) -> UserError:
    return UserError(f"the tracker {uri}: {text}.", hint=hint)


def _chain(fault: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: Any = fault
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
