"""Registry: versions of the model, and which of them is in service.

Aliases say what a version is (``challenger``, ``champion``, ``previous``); tags say what it
was made of, so that the exact inputs can be found again. A failure here is an error, never
spooled: a promotion that may or may not have happened is worse than none.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from falcon.config import Settings
from falcon.errors import UserError
from tasks.gate import read_gate, still_speaks_of
from tasks.support.scores import read_scores
from tasks.support.stage import provenance, read_marker
from tasks.support.tracking import Tracker, import_mlflow
from tasks.support.workspace import Workspace, path_md5, replaced_folder, write_json

CODEGEN_MODEL = Path(__file__).parents[1] / "serving" / "codegen_model.py"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


class Refused(UserError):
    """The gate, or a change since its decision, forbids the promotion."""

    exit_code = 4


class Away(UserError):
    """The registry does not answer, or what it keeps cannot be read or written."""


P = ParamSpec("P")
R = TypeVar("R")


def _answering(
    method: Callable[Concatenate[Registry, P], R],
) -> Callable[Concatenate[Registry, P], R]:
    """Say in one line what MLflow, its database or its files threw."""

    @functools.wraps(method)
    def guarded(self: Registry, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from mlflow.exceptions import MlflowException

        try:
            return method(self, *args, **kwargs)
        except (MlflowException, OSError) as fault:
            told = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
            told = told.partition(" with exception ")[0][:200]
            raise Away(
                f"the model registry at {self.tracker.uri} failed ({told}).",
                hint="Start the tracker and give the command again; what was made is kept.",
            ) from fault

    return guarded


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: str
    run_id: str
    tags: dict[str, str]

    @property
    def policy(self) -> str:
        """Hash of its adapter folder."""
        return self.tags.get("policy.md5", "")


class Registry:
    """The registered model of a workspace's tracker."""

    def __init__(self, tracker: Tracker, settings: Settings) -> None:
        self.tracker = tracker
        self.settings = settings
        self.name = settings.tracking.registered_model
        self.space: Workspace = tracker.space

    @property
    def _client(self) -> Any:
        return self.tracker.client

    @_answering
    def by_alias(self, alias: str) -> Version | None:
        """The version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as fault:
            # MLflow answers a missing alias with INVALID_PARAMETER_VALUE.
            if fault.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                return None
            raise
        return Version(str(found.version), found.run_id or "", dict(found.tags))

    @_answering
    def by_policy(self, md5: str) -> Version | None:
        """The newest version made of an adapter folder of that hash, or None."""
        found = self._client.search_model_versions(f"name = '{self.name}'")
        fit = [v for v in found if v.tags.get("policy.md5") == md5]
        newest = max(fit, key=lambda v: int(v.version), default=None)
        return newest and Version(str(newest.version), newest.run_id or "", dict(newest.tags))

    @_answering
    def register(self) -> Version:
        """Register the trained policy as challenger, once for the same files.

        Logged as a pyfunc model of the training run. Raises UserError when there is no
        trained policy or no gate decision.
        """
        policy = self.space.output("train") / "policy"
        if not policy.is_dir():
            raise UserError(f"{policy} is not there.", hint="Run `falcon run`.")
        md5 = path_md5(policy)
        version = self.by_policy(md5)
        tags = self._tags(md5)
        if version is None:
            version = self._create(policy, tags)
        else:
            for key, value in tags.items():
                self._client.set_model_version_tag(self.name, version.number, key, value)
        champion = self.by_alias(CHAMPION)
        if champion is None or champion.number != version.number:
            self._client.set_registered_model_alias(self.name, CHALLENGER, version.number)
        return version

    def _tags(self, md5: str) -> dict[str, str]:
        decision = read_gate(self.space)
        against = [r["name"] for r in decision["reasons"] if not r["passed"]]
        scores = read_scores(self.space.output("benchmark") / "scores.json")
        card = {
            suite: {
                "pass_at_1": s.pass_at_1.value,
                "style": s.style.value,
                "complexity": s.complexity.value,
            }
            for suite, s in scores.policies["trained"].items()
        }
        return {
            **provenance(self.space.root, self.settings),
            "policy.md5": md5,
            "memory.digest": path_md5(self.space.output("train") / "memory"),
            "gate": decision["decision"],
            "gate.against": json.dumps(against),
            "gate.opponent": json.dumps(decision["opponent"]),
            "gate.report": json.dumps(decision["reasons"])[:4900],
            "scores": json.dumps(card),
            "run.train": read_marker(self.space, "train").get("run_id", ""),
        }

    def _create(self, policy: Path, tags: dict[str, str]) -> Version:
        from mlflow.exceptions import MlflowException

        train_run = self._real_run(tags["run.train"])
        model = self._log_model(policy, train_run)
        try:
            self._client.create_registered_model(self.name)
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            self.name, source=model.model_uri, run_id=train_run, tags=tags, model_id=model.model_id
        )
        return Version(str(made.version), train_run or "", tags)

    def _real_run(self, run: str) -> str | None:
        try:
            return self.tracker.names.real(run) if run else None
        except KeyError:
            raise UserError(
                "the training run is not in MLflow yet: the tracker was away.",
                hint="Start the tracker and run `falcon run` again; spooled calls are replayed.",
            ) from None

    def _log_model(self, policy: Path, run_id: str | None) -> Any:
        mlflow = import_mlflow()
        from mlflow.models import Model, ModelSignature

        from mlflow import types

        mlflow.set_tracking_uri(self.tracker.uri)
        # Without it the model would go to the experiment Default, and its files to ./mlruns.
        mlflow.set_experiment(experiment_id=self.tracker.experiment_id())
        signature = ModelSignature(
            inputs=types.Schema([types.ColSpec("string", "prompt")]),
            outputs=types.Schema([types.ColSpec("string")]),
            params=types.ParamSchema(
                [
                    types.ParamSpec("max_new_tokens", "long", 256),
                    types.ParamSpec("temperature", "double", 0.0),
                    types.ParamSpec("top_p", "double", 1.0),
                    types.ParamSpec("seed", "long", 0),
                ]
            ),
        )
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            card = Path(folder) / "settings.json"
            write_json(card, {"policy": self.settings.policy.model_dump(mode="json")})
            # The signature says what an example or type hints would.
            for advice in ("Add type hints", "An input example was not provided"):
                warnings.filterwarnings("ignore", message=f".*{advice}", category=UserWarning)
            return Model.log(
                artifact_path=None,
                name="codegen",
                run_id=run_id,
                flavor=mlflow.pyfunc,
                python_model=str(CODEGEN_MODEL),
                artifacts={"adapter": str(policy), "settings": str(card)},
                signature=signature,
                pip_requirements=["falcon-mlops"],
            )

    @_answering
    def promote(self, *, approve_refused: bool = False) -> Version:
        """Put the challenger into service; what was there becomes ``previous``.

        Raises Refused unless the gate passed, speaks of exactly the present results, and
        compared with the champion of this moment. ``approve_refused`` overrides the gate's
        decision only, never the hashes, and is kept as a tag.
        """
        decision = read_gate(self.space)
        still_speaks_of(self.space, decision)
        version = self.by_policy(decision["policy"])
        if version is None:
            raise UserError("the trained policy is not registered.", hint="Run `falcon run`.")
        champion = self.by_alias(CHAMPION)
        if champion is not None and champion.number == version.number:
            return version
        passed = decision["decision"] == "passed"
        if not passed and not approve_refused:
            against = "; ".join(
                f"{r['name']}: {r['said']}" for r in decision["reasons"] if not r["passed"]
            )
            raise Refused(f"the gate refused version {version.number} ({against}).")
        judged = decision["opponent"]["version"]
        if (champion.number if champion else "") != judged:
            now = f"version {champion.number}" if champion else "no model"
            raise Refused(
                f"the gate compared with {f'version {judged}' if judged else 'the untrained model'}, "
                f"but {now} is in service.",
                hint="Run `falcon run`: it compares with the model in service.",
            )
        self._move(version, champion, "promoted" if passed else "approved by hand")
        return version

    @_answering
    def rollback(self) -> Version:
        """Put the previous champion back into service. Raises UserError when there is none."""
        previous, champion = self.by_alias(PREVIOUS), self.by_alias(CHAMPION)
        if previous is None:
            raise UserError(f"`{self.name}` has no previous champion to go back to.")
        self._move(previous, champion, "rolled back")
        return previous

    def _move(self, new: Version, old: Version | None, why: str) -> None:
        client, now = self._client, datetime.now(UTC).isoformat(timespec="seconds")
        # ``previous`` first: whatever happens in between, the way back is known.
        if old is not None:
            client.set_registered_model_alias(self.name, PREVIOUS, old.number)
            client.set_model_version_tag(self.name, old.number, "retired", now)
            client.set_model_version_tag(self.name, old.number, "replaced_by", new.number)
        client.set_registered_model_alias(self.name, CHAMPION, new.number)
        client.set_model_version_tag(self.name, new.number, "in_service", f"{now} ({why})")
        challenger = self.by_alias(CHALLENGER)
        if challenger is not None and challenger.number == new.number:
            client.delete_registered_model_alias(self.name, CHALLENGER)

    @_answering
    def carry_champion(self) -> Version | None:
        """Have the champion's adapter in ``handover/champion``, where the benchmark looks.

        The model that the present results are of is never carried: it would be compared
        with itself. Returns the version that lies there afterwards, None for none.
        """
        folder = self.space.handover / "champion"
        card = folder / "champion.json"
        carried = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
        champion = self.by_alias(CHAMPION)
        policy = self.space.output("train") / "policy"
        if champion is not None and policy.is_dir() and path_md5(policy) == champion.policy:
            return None if not carried else Version(carried["version"], "", {})
        if champion is None:
            for path in (card, folder / "adapter"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(
                    missing_ok=True
                )
            return None
        if carried.get("version") != champion.number:
            card.unlink(missing_ok=True)
            self.download(champion, folder / "adapter")
            write_json(card, {"version": champion.number, "policy": champion.policy})
        return champion

    @_answering
    def download(self, version: Version, folder: Path) -> None:
        """The adapter of a version as ``folder``, whole; raises UserError when it is another one."""
        mlflow = import_mlflow()
        mlflow.set_tracking_uri(self.tracker.uri)
        with tempfile.TemporaryDirectory() as scratch, replaced_folder(folder) as fresh:
            uri = f"models:/{self.name}/{version.number}"
            home = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=scratch))
            source = next((p for p in (home / "artifacts").iterdir() if p.is_dir()), None)
            if source is None:
                raise UserError(f"{uri} holds no adapter.")
            shutil.copytree(source, fresh, dirs_exist_ok=True)
            if version.policy and path_md5(fresh) != version.policy:
                raise UserError(f"{uri}: its adapter is not the one that was registered.")
