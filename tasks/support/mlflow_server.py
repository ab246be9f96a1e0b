"""MLflow server: the tracking server with its registry. What ``mlflow/server.sh`` starts.

SQLite and a folder under ``state/`` on loopback, unless MLFLOW_BACKEND, MLFLOW_ARTIFACTS or
MLFLOW_HOST say otherwise. It has no login of its own.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from falcon.env import apply
from falcon.errors import UserError
from tasks.support.mlflow_store import (
    SQLITE,
    migrations,
    prepare_database,
    require_known_revision,
)
from tasks.support.prefect_server import HOST, port_free
from tasks.support.tracker_faults import connect_once, wrong_tracker
from tasks.support.workspace import Workspace


def prepare(uri: str, state: Path) -> None:
    """Set up the tables of an empty database, and of an older one only if it is the workspace's.

    Raises UserError for another one that is not of this MLflow, and for one that is away.
    """
    if uri.startswith("sqlite:"):
        prepare_database(uri, state)
        return
    try:
        connect_once(uri)
        present = _revision(uri)
    except Exception as fault:
        text = str(fault).strip().partition("\n")[0]
        raise wrong_tracker(fault, uri) or UserError(
            f"the database {uri} does not answer ({text})."
        ) from fault
    if present != migrations().get_current_head():
        require_known_revision(present, uri, ours=False)
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise UserError(f"MLflow cannot set up its tables in {uri}.")


def _revision(uri: str) -> str:
    import sqlalchemy
    from alembic.migration import MigrationContext

    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() or ""
    finally:
        engine.dispose()


def names(host: str, port: int) -> tuple[str, str]:
    """Host names that requests may come under, and their origins, as MLflow's variables hold them.

    MLflow refuses all but local ones, so that a page elsewhere cannot use the reader's browser.
    """
    from mlflow.server.security_utils import get_default_allowed_hosts

    own = dict.fromkeys((socket.gethostname(), socket.getfqdn(), host))
    hosts = [*get_default_allowed_hosts(), *own, *(f"{name}:{port}" for name in own)]
    origins = [f"{kind}://{name}:{port}" for name in own for kind in ("http", "https")]
    return ",".join(hosts), ",".join(origins)


def main(arguments: Sequence[str]) -> int:
    """Become the server on the port given (5000). Exit code 2: said in one line why not."""
    root = apply()
    state = Workspace(root).state
    host = os.environ.get("MLFLOW_HOST", HOST)
    uri = os.environ.get("MLFLOW_BACKEND") or f"{SQLITE}{state / 'mlflow.db'}"
    try:
        text = arguments[0] if arguments else "5000"
        if not text.isdigit():
            raise UserError(f"`{text}` is no port.", hint="As in mlflow/server.sh 5000.")
        port = int(text)
        if not port_free(port, host):
            raise UserError(
                f"port {port} on {host} is in use.",
                hint=f"Give another one: mlflow/server.sh {port + 1}",
            )
        (state / "mlartifacts").mkdir(parents=True, exist_ok=True)
        prepare(uri, state)
    except UserError as fault:
        sys.stderr.write(f"falcon: {fault}\n")
        return fault.exit_code
    hosts, origins = names(host, port)
    os.environ.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", hosts)
    os.environ.setdefault("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", origins)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # a command line is seen by all users
    os.environ["MLFLOW_ARTIFACTS_DESTINATION"] = os.environ.get(
        "MLFLOW_ARTIFACTS", str(state / "mlartifacts")
    )
    os.chdir(state)  # MLflow drops what it drops into the working folder
    words = ["-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - there is no shell
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
