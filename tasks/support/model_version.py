"""Model version: a trained policy in the registry, and its files there and back."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falcon.config import PolicySettings
from falcon.errors import UserError
from falcon.files import replaced_folder
from tasks.support.files import path_md5, write_json
from tasks.support.mlflow_store import import_mlflow
from tasks.support.tracking import Tracker

CODEGEN_MODEL = Path(__file__).parents[1] / "serving" / "codegen_model.py"


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


def _signature() -> Any:
    from mlflow.models import ModelSignature

    from mlflow import types

    parameters = [
        types.ParamSpec("max_new_tokens", "long", 256),
        types.ParamSpec("temperature", "double", 0.0),
        types.ParamSpec("top_p", "double", 1.0),
        types.ParamSpec("seed", "long", 0),
    ]
    return ModelSignature(
        inputs=types.Schema([types.ColSpec("string", "prompt")]),
        outputs=types.Schema([types.ColSpec("string")]),
        params=types.ParamSchema(parameters),
    )


def log_policy(
    tracker: Tracker, settings: PolicySettings, adapter: Path, run_id: str | None
) -> Any:
    """Log an adapter folder with the settings of its base model; gives MLflow's model."""
    mlflow = import_mlflow()
    from mlflow.models import Model

    mlflow.set_tracking_uri(tracker.uri)
    # Without it the model would go to the experiment Default, and its files to ./mlruns.
    mlflow.set_experiment(experiment_id=tracker.experiment_id())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        card = Path(folder) / "settings.json"
        write_json(card, {"policy": settings.model_dump(mode="json")})
        # MLflow advises type hints or an example; the signature already says the same.
        for advice in ("Add type hints", "An input example was not provided"):
            warnings.filterwarnings("ignore", message=f".*{advice}", category=UserWarning)
        return Model.log(
            artifact_path=None,
            name="codegen",
            run_id=run_id,
            flavor=mlflow.pyfunc,
            python_model=str(CODEGEN_MODEL),
            artifacts={"adapter": str(adapter), "settings": str(card)},
            signature=_signature(),
            pip_requirements=["falcon-mlops"],
        )


def download_adapter(tracker: Tracker, uri: str, md5: str, folder: Path) -> None:
    """Put the adapter of the model at ``uri`` into ``folder``, whole or not at all.

    Raises UserError when the model has none, or when its hash is not ``md5`` ("": any).
    """
    mlflow = import_mlflow()
    mlflow.set_tracking_uri(tracker.uri)
    with tempfile.TemporaryDirectory() as scratch, replaced_folder(folder) as fresh:
        home = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=scratch))
        source = next((p for p in (home / "artifacts").iterdir() if p.is_dir()), None)
        if source is None:
            raise UserError(f"{uri} holds no adapter.")
        shutil.copytree(source, fresh, dirs_exist_ok=True)
        if md5 and path_md5(fresh) != md5:
            raise UserError(f"{uri}: its adapter is not the one that was registered.")
