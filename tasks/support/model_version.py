"""Model version: a trained policy in the registry, what made it, and its files there and back."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falcon.config import PolicySettings, Settings
from falcon.errors import UserError
from falcon.files import replaced_folder
from tasks.support.files import path_md5, write_json
from tasks.support.mlflow_store import import_mlflow
from tasks.support.provenance import provenance, read_gate, read_marker
from tasks.support.scores import read_scores
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace

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


def version_tags(space: Workspace, settings: Settings, policy: str) -> dict[str, str]:
    """Tags by which the exact inputs of the present results are found again.

    ``policy`` is the hash of the adapter folder. Raises UserError when there is no decision.
    """
    decision = read_gate(space)
    against = [r["name"] for r in decision["reasons"] if not r["passed"]]
    scores = read_scores(space.output("benchmark") / "scores.json")
    figures = {
        suite: {
            "pass_at_1": score.pass_at_1 and score.pass_at_1.value,
            "style": score.style and score.style.value,
            "complexity": score.complexity and score.complexity.value,
        }
        for suite, score in scores.policies["trained"].items()
    }
    return {
        **provenance(space.root, settings),
        "policy.md5": policy,
        "memory.digest": path_md5(space.output("train") / "memory"),
        "gate": decision["decision"],
        "gate.against": json.dumps(against),
        "gate.opponent": json.dumps(decision["opponent"]),
        "gate.report": json.dumps(decision["reasons"])[:4900],  # a tag holds 5000 characters
        "scores": json.dumps(figures),
        "run.train": read_marker(space, "train").get("run_id", ""),
    }


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
