"""DVC's files: what ``dvc.yaml``, ``dvc.lock`` and ``data.dvc`` say.

They are read directly, since starting DVC takes half a second.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from falcon.errors import UserError


def dependencies(root: Path, stage: str) -> list[str]:
    """Paths a stage of ``dvc.yaml`` reads, relative to ``root``."""
    tree = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    return [str(path) for path in tree["stages"][stage].get("deps", [])]


def lock(root: Path) -> dict[str, Any]:
    """The stages of ``dvc.lock``; empty before the first run."""
    file = root / "dvc.lock"
    if not file.is_file():
        return {}
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    return dict(tree.get("stages") or {})


def entry_hash(entry: Any) -> str:
    """sha256 of a stage's entry of ``dvc.lock``: everything it read and made."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def out_hash(root: Path, stage: str, path: str) -> str:
    """Hash that ``dvc.lock`` has for an output of a stage; "" where it has none."""
    outs = (lock(root).get(stage) or {}).get("outs") or []
    return next((str(out["md5"]) for out in outs if out["path"] == path), "")


def data_version(root: Path) -> str:
    """The data version: md5 of ``data.dvc``. Raises UserError when there is none."""
    file = root / "data.dvc"
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        return str(tree["outs"][0]["md5"])
    except FileNotFoundError:
        raise UserError(
            f"{file} is not there.", hint="Put data in data/ and run `dvc add data`."
        ) from None
    except (KeyError, IndexError, TypeError, yaml.YAMLError):
        raise UserError(f"{file}: no md5 in it.", hint="Run `dvc add data`.") from None
