"""Preflight: what cannot be right is said in one line before any work, and before Prefect loads.

A tracker that does not answer may come back: that is a warning, and what runs do is kept for it.
"""

import os
import urllib.error
import urllib.parse
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

import falcon
from falcon.config import Settings
from falcon.doctor import Result
from falcon.errors import UserError, without_passwords
from falcon.policy.packaged import PACKAGED, require_here
from tasks.support.files import may_write
from tasks.support.mlflow_store import SQLITE, import_mlflow, prepare_database, tracking_uri
from tasks.support.prefect_server import ask_health
from tasks.support.promotion_policy import read_policy
from tasks.support.tracker_faults import connect_once, impatient, why, wrong_tracker
from tasks.support.workspace import Workspace

_warned: set[str] = set()


def require_ready(space: Workspace, settings: Settings, *, anew: bool = False) -> None:
    """Look at disk, policy of promotion, model, Prefect and tracker before a run.

    Raises UserError for what cannot be right. A tracker that is away is a warning, once a process;
    with ``anew`` a UserError, too: such a run starts from the model in service, which the tracker
    knows.
    """
    require_writable(space)
    read_policy(space.root)
    if settings.policy.model in PACKAGED:
        require_here(PACKAGED[settings.policy.model])
    require_prefect()
    away = examine_tracker(space, settings)
    if not away:
        return
    uri = tracking_uri(settings, space)
    if anew:
        raise UserError(
            f"the tracker {uri} does not answer ({away}).",
            hint="Start it: this run begins with the model in service, which only it knows.",
        )
    if uri not in _warned:
        _warned.add(uri)
        text = f"MLflow: {uri} does not answer ({away}); the record is kept and sent later."
        console = Console(stderr=True)
        console.print(without_passwords(text), style="yellow", markup=False, highlight=False)


def require_writable(space: Workspace) -> None:
    """Raise UserError unless results and state can be written."""
    for folder in (space.root, space.root / "outputs", space.state, space.handover):
        if folder.exists() and not may_write(folder):
            raise UserError(
                f"{folder} cannot be written.",
                hint="Give this user the folder, or work in a clone of your own.",
            )


def require_prefect() -> None:
    """Raise UserError unless PREFECT_API_URL is unset or a Prefect server answers there.

    And for a kind of proxy that its client, which looks at all proxies, cannot use.
    """
    for name in ("all_proxy", "http_proxy", "https_proxy"):
        proxy = os.environ.get(name) or os.environ.get(name.upper(), "")
        if proxy.startswith("socks") and find_spec("socksio") is None:
            raise UserError(
                f"{name.upper()} {proxy}: Prefect cannot use it without the Python package socksio.",
                hint="`pip install socksio pysocks`, or unset the variable.",
            )
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        return
    problem = _prefect_problem(url)
    if problem:
        raise UserError(
            f"PREFECT_API_URL {url}: {problem}.",
            hint="Start that server, correct the address, or unset the variable.",
        )


def _prefect_problem(url: str) -> str:
    """Why no Prefect server answers at an address; "" when one does."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "this is no address of a server, as in http://127.0.0.1:4200/api"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        healthy = ask_health(bare, timeout=5.0)
    except urllib.error.HTTPError as fault:
        # Something that asks who we are is left to Prefect, which knows the key.
        return "" if fault.code in (401, 403) else f"no Prefect server (HTTP {fault.code})"
    except (OSError, ValueError) as fault:
        return f"no server answers ({why(getattr(fault, 'reason', None) or fault)})"
    return "" if healthy else "what answers there is no Prefect server"


def examine_tracker(space: Workspace, settings: Settings) -> str:
    """Look at the tracker, its experiment and its registry; why it is away, "" when it answers.

    Raises UserError for an address, a database or an experiment that cannot be right.
    """
    uri = tracking_uri(settings, space)
    prepare_database(uri, space.state)
    try:
        with impatient():
            connect_once(uri)
            client = import_mlflow().MlflowClient(uri)
            experiment = client.get_experiment_by_name(settings.tracking.experiment)
            client.search_registered_models(max_results=1)
    except Exception as fault:
        wrong = wrong_tracker(fault, uri)
        if wrong is not None:
            raise wrong from fault
        return why(fault)
    if experiment is not None:
        _require_usable(experiment, uri)
    return ""


def _require_usable(experiment: Any, uri: str) -> None:
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"the experiment `{experiment.name}` is deleted in the tracker {uri}.",
            hint=f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`,"
            " or another tracking.experiment.",
        )
    place = urllib.parse.urlsplit(experiment.artifact_location or "")
    other = "Use that server's address as tracking.uri, or another tracking.experiment."
    if uri.startswith(SQLITE) and place.scheme == "mlflow-artifacts":
        raise UserError(
            f"the files of the experiment `{experiment.name}` are with a tracking server.",
            hint=other,
        )
    if uri.startswith("http") and place.scheme in ("", "file"):
        folder = Path(urllib.parse.unquote(place.path))
        # MLflow would make the folder on this machine, where nobody looks for it.
        if not folder.is_dir():
            raise UserError(
                f"the experiment `{experiment.name}` of {uri} keeps its files in {folder},"
                " which is not on this machine.",
                hint="Choose another tracking.experiment.",
            )


def _tracker_finding(root: Path) -> Result:
    space = Workspace(root)
    settings = space.settings()
    uri = without_passwords(tracking_uri(settings, space))
    try:
        away = examine_tracker(space, settings)
    except UserError as fault:
        return "missing", fault.message, fault.hint
    if away:
        return "note", f"{uri} does not answer ({away})", "Start it; meanwhile records are kept."
    given = settings.tracking.uri
    if without_passwords(given) != given:
        todo = "Put it into MLFLOW_TRACKING_PASSWORD; git keeps params.yaml."
        return "note", f"{uri}: a password stands in params.yaml", todo
    return "ok", f"{uri}, experiment {settings.tracking.experiment}", ""


def _prefect_finding(root: Path) -> Result:
    url = os.environ.get("PREFECT_API_URL", "")
    try:
        require_prefect()
    except UserError as fault:
        return "missing", fault.message, fault.hint
    return "ok", without_passwords(url) or "a server is started for each run", ""


def _clone_finding(root: Path) -> Result:
    try:
        require_writable(Workspace(root))
    except UserError as fault:
        return "missing", fault.message, fault.hint
    code = Path(falcon.__file__).resolve().parents[1]
    if code != root.resolve():
        return "note", f"commands run the code of {code}", "`make venv` in this clone."
    return "ok", "can be written; its own code runs", ""


def _policy_finding(root: Path) -> Result:
    try:
        policy = read_policy(root)
    except UserError as fault:
        return "missing", fault.message, fault.hint
    return "ok", f"automatic {policy.promotion.automatic}, approval {policy.promotion.approval}", ""


FINDINGS: dict[str, Callable[[Path], Result]] = {
    "clone": _clone_finding,
    "promotion": _policy_finding,
    "tracker": _tracker_finding,
    "prefect": _prefect_finding,
}
"""What ``falcon doctor`` asks about: (ok, note or missing; in words; what to do)."""
