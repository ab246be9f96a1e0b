"""Registry: versions of the model, and which of them is in service.

Aliases say what a version is (``challenger``, ``champion``, ``previous``). A failure here is an
error and is never queued: a promotion that may or may not have happened is worse than none.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from falcon.config import Settings
from falcon.errors import UserError
from tasks.support.errors import PromotionRefused, RegistryUnavailable
from tasks.support.files import path_md5
from tasks.support.handover import emptied, fill_model, read_champion
from tasks.support.model_version import (
    ModelVersion,
    VersionParts,
    download_parts,
    log_policy,
)
from tasks.support.provenance import read_gate, require_unchanged
from tasks.support.tracking import Tracker
from tasks.support.version_tags import version_tags
from tasks.support.workspace import Workspace

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

P = ParamSpec("P")
R = TypeVar("R")


def _guarded(
    method: Callable[Concatenate[Registry, P], R],
) -> Callable[Concatenate[Registry, P], R]:
    """Turn what MLflow, its database or its files raise into one line."""

    @functools.wraps(method)
    def guarded(self: Registry, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from mlflow.exceptions import MlflowException

        try:
            return method(self, *args, **kwargs)
        except (MlflowException, OSError) as fault:
            message = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
            message = message.partition(" with exception ")[0][:200]
            raise RegistryUnavailable(
                f"the model registry at {self.tracker.uri} failed ({message}).",
                hint="Start the tracker and give the command again; what was made is kept.",
            ) from fault

    return guarded


class Registry:
    """The registered model of a tracker. Methods raise RegistryUnavailable if that is away."""

    def __init__(self, tracker: Tracker, settings: Settings) -> None:
        self.tracker = tracker
        self.settings = settings
        self.name = settings.tracking.registered_model
        self.space: Workspace = tracker.space

    @classmethod
    def here(cls) -> Registry:
        """The registry of the workspace around the working folder."""
        space = Workspace.here()
        tracker = Tracker(settings := space.settings(), space)
        tracker.queue.replay()
        return cls(tracker, settings)

    @_guarded
    def by_alias(self, alias: str) -> ModelVersion | None:
        """The version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return ModelVersion.of(self.tracker.client.get_model_version_by_alias(self.name, alias))
        except MlflowException as fault:
            # MLflow answers a missing alias with INVALID_PARAMETER_VALUE.
            if fault.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                return None
            raise

    @_guarded
    def versions(self) -> dict[str, ModelVersion]:
        """All versions by number, oldest first."""
        found = self.tracker.client.search_model_versions(f"name = '{self.name}'")
        ordered = sorted(found, key=lambda v: int(v.version))
        return {str(v.version): ModelVersion.of(v) for v in ordered}

    @_guarded
    def by_policy(self, md5: str) -> ModelVersion | None:
        """The newest version made of an adapter folder of that hash, or None."""
        versions = self.tracker.client.search_model_versions(f"name = '{self.name}'")
        same = [v for v in versions if v.tags.get("policy.md5") == md5]
        newest = max(same, key=lambda v: int(v.version), default=None)
        return newest and ModelVersion.of(newest)

    @_guarded
    def register(self) -> ModelVersion:
        """Register the trained policy as challenger, once for the same files.

        Logged as a pyfunc model of the training run. Raises UserError without policy or decision.
        """
        policy = self.space.output("train") / "policy"
        if not policy.is_dir():
            raise UserError(f"{policy} is not there.", hint="Run `falcon run`.")
        md5 = path_md5(policy)
        version = self.by_policy(md5)
        tags = version_tags(self.space, self.settings, md5)
        if version is None:
            parts = VersionParts.of_training(self.space, self.settings)
            version = self._create(parts, tags)
        else:
            for key, value in tags.items():
                self.tracker.client.set_model_version_tag(self.name, version.number, key, value)
        champion = self.by_alias(CHAMPION)
        if champion is None or champion.number != version.number:
            self.tracker.client.set_registered_model_alias(self.name, CHALLENGER, version.number)
        return version

    def _create(self, parts: VersionParts, tags: dict[str, str]) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        train_run = self._real_run(tags["run.train"])
        model = log_policy(self.tracker, parts, train_run)
        try:
            self.tracker.client.create_registered_model(self.name)
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = self.tracker.client.create_model_version(
            self.name, source=model.model_uri, run_id=train_run, tags=tags, model_id=model.model_id
        )
        return ModelVersion(str(created.version), train_run or "", tags)

    def _real_run(self, run: str) -> str | None:
        try:
            return self.tracker.run_ids.real(run) if run else None
        except KeyError:
            raise UserError(
                "the training run is not in MLflow yet: the tracker was away.",
                hint="Start the tracker and run `falcon run` again; spooled calls are replayed.",
            ) from None

    @_guarded
    def promote(self, *, approve_refused: bool = False) -> ModelVersion:
        """Put the challenger into service; what was there becomes ``previous``.

        Raises PromotionRefused unless the gate passed and compared with the champion of this
        moment, UserError unless its decision is about exactly the present results.
        ``approve_refused`` sets aside the gate's decision only, and is kept as a tag.
        """
        decision = read_gate(self.space)
        require_unchanged(self.space, decision)
        version = self.by_policy(decision["policy"])
        if version is None:
            raise UserError("the trained policy is not registered.", hint="Run `falcon run`.")
        champion = self.by_alias(CHAMPION)
        if champion is not None and champion.number == version.number:
            return version
        passed = decision["decision"] == "passed"
        if not passed and not approve_refused:
            against = [f"{r['name']}: {r['said']}" for r in decision["reasons"] if not r["passed"]]
            raise PromotionRefused(
                f"the gate refused version {version.number} ({'; '.join(against)})."
            )
        # Another model may have been promoted since: then the comparison was with a wrong one.
        judged = decision["opponent"]["version"]
        if (champion.number if champion else "") != judged:
            now = f"version {champion.number}" if champion else "no model"
            compared = f"version {judged}" if judged else "the untrained model"
            raise PromotionRefused(
                f"the gate compared with {compared}, but {now} is in service.",
                hint="Run `falcon run`: it compares with the model in service.",
            )
        self._move(version, champion, "promoted" if passed else "approved by hand")
        return version

    def promote_trained(self, *, approve_refused: bool = False) -> ModelVersion:
        """Register the trained policy if it is not, then :meth:`promote` it."""
        self.register()
        return self.promote(approve_refused=approve_refused)

    @_guarded
    def rollback(self) -> ModelVersion:
        """Put the previous champion back into service. Raises UserError when there is none."""
        previous, champion = self.by_alias(PREVIOUS), self.by_alias(CHAMPION)
        if previous is None:
            raise UserError(f"`{self.name}` has no previous champion to go back to.")
        self._move(previous, champion, "rolled back")
        return previous

    def _move(self, new: ModelVersion, old: ModelVersion | None, reason: str) -> None:
        client, now = self.tracker.client, datetime.now(UTC).isoformat(timespec="seconds")
        # ``previous`` first: if we are cut off in between, the way back is on record.
        if old is not None:
            client.set_registered_model_alias(self.name, PREVIOUS, old.number)
            client.set_model_version_tag(self.name, old.number, "retired", now)
            client.set_model_version_tag(self.name, old.number, "replaced_by", new.number)
        client.set_registered_model_alias(self.name, CHAMPION, new.number)
        client.set_model_version_tag(self.name, new.number, "in_service", f"{now} ({reason})")
        challenger = self.by_alias(CHALLENGER)
        if challenger is not None and challenger.number == new.number:
            client.delete_registered_model_alias(self.name, CHALLENGER)

    @_guarded
    def fetch_champion(self) -> ModelVersion | None:
        """Put the champion's adapter into ``handover/champion``; the version there now, or None."""
        folder = self.space.handover / "champion"
        _, fetched = read_champion(self.space)
        champion = self.by_alias(CHAMPION)
        policy = self.space.output("train") / "policy"
        # The model that the present results are of must not be compared with itself: what it was
        # compared with before stays.
        if champion is not None and policy.is_dir() and path_md5(policy) == champion.policy:
            return ModelVersion(fetched["version"], "", {}) if fetched else None
        if champion is None:
            emptied(folder)
        elif fetched.get("version") != champion.number:
            with tempfile.TemporaryDirectory(dir=self.space.state) as scratch:
                self.download_model(champion, Path(scratch) / "parts")
                fill_model(folder, "champion.json", champion, Path(scratch) / "parts")
        return champion

    @_guarded
    def download_model(self, version: ModelVersion, folder: Path) -> None:
        """All parts of a version as ``folder``; raises UserError when its adapter is another."""
        download_parts(
            self.tracker, f"models:/{self.name}/{version.number}", folder, version.policy
        )
