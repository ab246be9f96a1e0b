"""The environment every process of the pipeline runs in, set in one place.

Applied before anything heavy is imported, by the command line and by ``python -m tasks``.
A variable the user has set is left as it is. It starts nothing.
"""

import os
import pwd
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

_FIXED = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    # In files of PREFECT_HOME: leases in memory die with the server, and the place of a run that
    # held one stays taken, so that no scheduled run starts again.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # A slow disk makes the first start of Prefect's own server take longer than its default.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_API_REQUEST_TIMEOUT": "30",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Loading is short; its bars are noise beside ours and in the logs a stage's lines go to.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin at every barrier make a shared machine several times slower: a decoding
    # step has some 600 of them, and each waits for a thread that the spinning one keeps out.
    "OMP_WAIT_POLICY": "PASSIVE",
    # An outage of the tracking server is spooled, so waiting minutes for it gains nothing.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # Kept by the process instead of given back and zeroed again at every large tensor, which
    # took half the time of a training step on a CPU.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "GIT_PYTHON_REFRESH": "quiet",
    # Whatever the locale: files and texts of ours are UTF-8.
    "PYTHONUTF8": "1",
}

_MARKS = ("params.yaml", "dvc.yaml")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_workspace(folder: Path) -> bool:
    """Whether a folder holds params.yaml and dvc.yaml."""
    return all((folder / mark).is_file() for mark in _MARKS)


def find_root(start: Path | None = None) -> Path:
    """The workspace: the nearest folder from ``start`` upward that holds params.yaml and dvc.yaml.

    ``start`` itself (default: the working folder) when there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if is_workspace(folder):
            return folder
    return here


_COPIES = (".dvc", "tmp", "exps")  # where DVC puts the copies in which it runs experiments


def home(root: Path) -> Path:
    """The workspace itself, or for a temporary copy of DVC's the workspace that was copied."""
    parts = root.parts
    for at in range(1, len(parts) - len(_COPIES)):
        if parts[at : at + len(_COPIES)] == _COPIES:
            return Path(*parts[:at])
    return root


def state_dir(root: Path) -> Path:
    """Folder of everything a run leaves behind that is no result: databases, indices, markers.

    A temporary copy leaves them in the workspace that was copied.
    """
    return home(root) / "state"


def search_index(root: Path) -> Path | None:
    """Where commands keep the index of the memories they search, apart from the pipeline's own.

    None outside of a workspace: the index then lies beside the memory.
    """
    return state_dir(root) / "index" / "search" if is_workspace(root) else None


def defaults(root: Path) -> dict[str, str]:
    """Variables and the values they get where the user has set none. Paths are absolute."""
    state = state_dir(root.resolve())
    values = dict(_FIXED)
    values["MLFLOW_TRACKING_URI"] = f"sqlite:///{state / 'mlflow.db'}"
    values["PREFECT_HOME"] = str(state / "prefect")
    values["FALCON_CACHE"] = str(state / "cache")
    return values


def apply(root: Path | None = None, env: MutableMapping[str, str] | None = None) -> Path:
    """Set the defaults in ``env`` (the process's own by default) and give the workspace.

    With PREFECT_API_URL set the user's own Prefect profile is in charge and PREFECT_HOME
    is left alone. MLFLOW_RUN_ID is dropped: it would send every stage into one run. The
    folder of the running interpreter goes first on PATH, so that ``dvc`` and the stage
    commands are those of this installation. Loopback never goes through a proxy.
    """
    target = os.environ if env is None else env
    place = find_root() if root is None else root.resolve()
    for name, value in defaults(place).items():
        if name == "PREFECT_HOME" and target.get("PREFECT_API_URL"):
            continue
        target.setdefault(name, value)
    if is_workspace(place):
        # Prefect creates its folder, but not the one that holds it. A clone that cannot be written
        # is said by what wants to write there.
        with suppress(OSError):
            state_dir(place).mkdir(exist_ok=True)
    target.pop("MLFLOW_RUN_ID", None)
    _spare_loopback(target)
    _name_user(target, state_dir(place))
    scripts = str(Path(sys.executable).absolute().parent)
    path = target.get("PATH", "")
    if path.split(os.pathsep)[0] != scripts:
        target["PATH"] = os.pathsep.join(filter(None, (scripts, path)))
    return place


def _spare_loopback(target: MutableMapping[str, str]) -> None:
    """Where a proxy is set, let it not be asked for servers of this machine."""
    if not any(target.get(name) or target.get(name.upper()) for name in _PROXIES):
        return
    theirs = f"{target.get('no_proxy', '')},{target.get('NO_PROXY', '')}".split(",")
    spared = [*filter(None, (name.strip() for name in theirs)), *LOOPBACK]
    # Some programs read only the one, some only the other.
    target["no_proxy"] = target["NO_PROXY"] = ",".join(dict.fromkeys(spared))


def _name_user(target: MutableMapping[str, str], state: Path) -> None:
    """Give a user id without an entry, as containers have, a name and a home for DVC and others."""
    user = os.getuid()
    try:
        pwd.getpwuid(user)
    except KeyError:
        for name in ("USER", "LOGNAME"):
            target[name] = target.get(name) or f"user-{user}"
        home = target.get("HOME", "")
        if not home or not os.access(home, os.W_OK):
            target["HOME"] = str(state / "home")
