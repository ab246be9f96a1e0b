"""Registry: versions of the model, and which of them is in service.

Aliases say what a version is: ``challenger`` (the newest trained one), ``champion`` (in service),
``previous`` (where a rollback goes). ``mlflow/registry.yaml`` decides who may be champion. A failure
here is an error and is never queued: a promotion that may or may not have happened is worse than
none.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from rich.console import Console

from falcon.config import Settings
from falcon.errors import UserError, machine_fault
from tasks.support import alias_moves
from tasks.support.alias_moves import CHALLENGER, CHAMPION, PREVIOUS, Move
from tasks.support.errors import PromotionRefused, RegistryUnavailable
from tasks.support.files import path_md5
from tasks.support.handover import emptied, fill_model, read_champion
from tasks.support.model_version import (
    ModelVersion,
    VersionParts,
    download_parts,
    log_policy,
)
from tasks.support.promotion_policy import Candidate, decide, read_policy
from tasks.support.provenance import read_gate, require_unchanged
from tasks.support.registry_lock import RegistryLease, registry_lock
from tasks.support.service_history import BACK, entered, last_serial, now, operator, withdrawn
from tasks.support.tracker_faults import why
from tasks.support.tracking import Tracker
from tasks.support.version_record import FOLDER, log_scores, write_record
from tasks.support.version_tags import Identity, decision_added, last_decision, version_tags
from tasks.support.workspace import Workspace

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Registry"]

P = ParamSpec("P")
R = TypeVar("R")

_console = Console(stderr=True)


def _guarded(
    method: Callable[Concatenate[Registry, P], R],
) -> Callable[Concatenate[Registry, P], R]:
    """Turn what MLflow, its database or its files raise into one line."""

    @functools.wraps(method)
    def guarded(self: Registry, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return method(self, *args, **kwargs)
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as fault:
            if (full := machine_fault(fault)) is not None:
                raise full from fault
            raise RegistryUnavailable(
                f"the model registry at {self.tracker.uri} failed ({why(fault)}).",
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
        self.patience = 10.0
        """Seconds to wait for another promotion or rollback to end."""

    @classmethod
    def here(cls) -> Registry:
        """The registry of the workspace around the working folder."""
        space = Workspace.here()
        tracker = Tracker(settings := space.settings(), space)
        tracker.queue.replay()
        return cls(tracker, settings)

    # -- what is there ---------------------------------------------------------------

    @_guarded
    def model(self) -> Any:
        """MLflow's record of the registered model, or None before the first version."""
        found = self.tracker.client.search_registered_models(filter_string=f"name = '{self.name}'")
        return found[0] if found else None

    @_guarded
    def versions(self) -> dict[str, ModelVersion]:
        """All versions by number, oldest first."""
        found = self.tracker.client.search_model_versions(f"name = '{self.name}'")
        ordered = sorted(found, key=lambda v: int(v.version))
        return {str(v.version): ModelVersion.of(v) for v in ordered}

    @_guarded
    def by_alias(self, alias: str) -> ModelVersion | None:
        """The version an alias points at, or None."""
        # Not by the error of a missing alias: MLflow gives the same one for a wrong address.
        model = self.model()
        number = str(model.aliases.get(alias, "")) if model else ""
        if not number:
            return None
        return ModelVersion.of(self.tracker.client.get_model_version(self.name, number))

    @_guarded
    def by_policy(self, md5: str) -> ModelVersion | None:
        """The newest version made of an adapter folder of that hash, or None."""
        same = [v for v in self.versions().values() if v.policy == md5]
        return same[-1] if same else None

    def _of_results(self, versions: dict[str, ModelVersion]) -> ModelVersion | None:
        """The version that was made of the present results, or None."""
        wanted = Identity.of_results(self.space)
        same = [v for v in versions.values() if Identity.of_tags(v.tags) == wanted]
        return same[-1] if same else None

    # -- registration ----------------------------------------------------------------

    @_guarded
    def register(self) -> ModelVersion:
        """Register the trained policy as challenger, once for the same results.

        Logged as a pyfunc model of the training run. The tags of a version are written with it
        and stay; a later decision about it is added to the tag ``decisions``. Raises UserError
        without policy or decision, and unless the decision is about exactly the present results.
        """
        policy = self.space.output("train") / "policy"
        if not policy.is_dir():
            raise UserError(f"{policy} is not there.", hint="Run `falcon run`.")
        decision = read_gate(self.space)
        require_unchanged(self.space, decision)  # a forged one must not get on record, either
        version = self._of_results(self.versions())
        if version is None:
            parts = VersionParts.of_training(self.space, self.space.stage_settings())
            tags = version_tags(self.space)
            with tempfile.TemporaryDirectory() as scratch:
                write_record(self.space, Path(scratch) / FOLDER)
                version = self._create(parts, tags, Path(scratch))
        elif decisions := decision_added(version.tags, self.space, decision):
            client = self.tracker.client
            client.set_model_version_tag(self.name, version.number, "decisions", decisions)
        champion = self.by_alias(CHAMPION)
        if champion is None or champion.number != version.number:
            self.tracker.client.set_registered_model_alias(self.name, CHALLENGER, version.number)
        return version

    def _create(
        self, parts: VersionParts, tags: dict[str, str], record: Path | None = None
    ) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        train_run = self._real_run(tags["run.train"])
        model = log_policy(self.tracker, parts, train_run)
        if record is not None:  # before the version: one that is there has it
            self.tracker.client.log_model_artifacts(model.model_id, str(record))
            if train_run:
                log_scores(self.tracker.client, self.space, train_run, model.model_id)
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
        """MLflow's id of the training run; None where it is not in this tracker."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.tracker.run_ids.real(run) if run else None
            if found:
                self.tracker.client.get_run(found)
        except KeyError:
            raise UserError(
                "the training run is not in MLflow yet: the tracker was away.",
                hint="Start the tracker and run `falcon run` again; spooled calls are replayed.",
            ) from None
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            _console.print(  # the tracker is another one since
                f"registry: the training run {found} is not in {self.tracker.uri}; the version is"
                " registered without a link to it.",
                style="yellow", markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
            return None
        return found

    # -- what is in service ----------------------------------------------------------

    @_guarded
    def promote(
        self,
        *,
        number: str = "",
        approve: bool = False,
        automatic: bool = False,
        why: str = "",
        by: str = "",
    ) -> ModelVersion:
        """Put the version of the present results, or version ``number``, into service.

        Raises PromotionRefused unless the promotion policy allows it, UserError unless the gate's
        decision is about exactly the present results (of another version: the one on record).
        ``approve`` sets aside what the policy lets a person set aside, and is kept on record.
        ``automatic``: no person asked for it.
        """
        policy = read_policy(self.space.root)
        if not automatic:
            policy.require_why("promote", why)
        with self._changing() as (lease, versions, champion, _):
            version, decision = self._judged(versions, number)
            if champion == version.number:
                return version
            candidate = Candidate.of(version, versions)
            verdict = decide(
                policy, decision, candidate, champion, automatic=automatic, approve=approve
            )
            verdict.require(policy)
            if aside := verdict.approved:
                why = f"{why} (set aside: {', '.join(aside)})".strip()
            how = "approved" if aside else "promoted"
            move = Move("promote", how, version.number, champion, why=why, by=by)
            self._make(move, lease, versions)
        return self.versions()[version.number]

    def _judged(
        self, versions: dict[str, ModelVersion], number: str
    ) -> tuple[ModelVersion, dict[str, Any]]:
        """The version to promote ("": that of the present results), and the gate's decision."""
        if not number:
            decision = read_gate(self.space)
            require_unchanged(self.space, decision)  # also here: files may have changed since
            version = self._of_results(versions)
            if version is None:
                raise UserError("the trained policy is not registered.", hint="Run `falcon run`.")
            return version, decision
        if number not in versions:
            raise UserError(f"`{self.name}` has no version {number}.", hint="falcon registry")
        decision = last_decision(versions[number].tags)
        if not decision:
            raise UserError(
                f"version {number} has no decision of the gate on record.",
                hint="falcon rollback --to N puts back what was in service.",
            )
        return versions[number], decision

    @_guarded
    def rollback(
        self, *, to: str = "", approve: bool = False, why: str = "", by: str = ""
    ) -> ModelVersion:
        """Take the champion out for good and put an earlier version into service again.

        That is version ``to``, or the last one in service before that is not withdrawn. With
        ``approve``, ``to`` may be a withdrawn one. Raises UserError where there is none.
        """
        policy = read_policy(self.space.root)
        policy.require_why("rollback", why)
        with self._changing() as (lease, versions, champion, completed):
            if completed == "rollback" and to in ("", champion):
                return versions[champion]  # this one was asked for before and cut off
            target = to or alias_moves.way_back(versions, champion)
            self._require_way_back(versions, champion, target, approve)
            move = Move("rollback", BACK, target, champion, champion, why=why, by=by)
            self._make(move, lease, versions)
        return self.versions()[target]

    def _require_way_back(
        self, versions: dict[str, ModelVersion], champion: str, target: str, approve: bool
    ) -> None:
        """Raise UserError unless a rollback may go to version ``target``."""
        if not target:
            gone = [number for number, v in versions.items() if withdrawn(v.tags)]
            others = f" (withdrawn: {', '.join(gone)})" if gone else ""
            raise UserError(
                f"`{self.name}` has no version to go back to{others}.",
                hint="falcon rollback --to N --approve, or `falcon withdraw`: then none serves."
                if gone
                else "",
            )
        if target not in versions:
            raise UserError(f"`{self.name}` has no version {target}.", hint="falcon registry")
        if target == champion:
            raise UserError(f"version {target} is in service already.")
        if entered(versions[target].tags) is None:
            raise UserError(
                f"version {target} was never in service.", hint="`falcon promote` puts it there."
            )
        event = withdrawn(versions[target].tags)
        rule = read_policy(self.space.root).rollback.to_withdrawn
        if event is not None and not (approve and rule == "approve"):
            raise PromotionRefused(
                f"version {target} was {event}.",
                hint=f"falcon rollback --to {target} --approve"
                if rule == "approve"
                else "rollback.to_withdrawn is `never` in mlflow/registry.yaml.",
            )

    @_guarded
    def withdraw(self, number: str = "", *, why: str = "", by: str = "") -> Move:
        """Withdraw a version (default: the champion), so that nothing puts it back by itself.

        In place of the champion, the version that a rollback goes to serves; without one, none.
        """
        read_policy(self.space.root).require_why("withdraw", why)
        with self._changing() as (lease, versions, champion, completed):
            if completed == "withdraw" and not number:
                raise UserError(
                    "the withdrawal that was cut off is complete now; nothing else was done.",
                    hint="falcon registry",
                )
            number = number or champion
            if not number:
                raise UserError("no version is in service.", hint="falcon withdraw VERSION")
            if number not in versions:
                raise UserError(f"`{self.name}` has no version {number}.", hint="falcon registry")
            if event := withdrawn(versions[number].tags):
                raise UserError(f"version {number} was {event} already.")
            serves = number == champion
            new = alias_moves.way_back(versions, champion) if serves else ""
            old = champion if serves else ""
            move = Move("withdraw", BACK, new, old, number, why=why, by=by)
            return self._make(move, lease, versions)

    def _make(self, move: Move, lease: RegistryLease, versions: dict[str, ModelVersion]) -> Move:
        """Make a move, signed with serial number, time and operator."""
        serial = last_serial(v.tags for v in versions.values()) + 1
        signed = replace(move, serial=serial, when=now(), by=move.by or operator())
        alias_moves.make(signed, self.tracker.client, self.name, versions, lease)
        return signed

    @contextmanager
    def _changing(self) -> Iterator[tuple[RegistryLease, dict[str, ModelVersion], str, str]]:
        """Hold the registry; gives the lease, all versions, the champion's number, and the command
        of a move that had been cut off and was completed here, or ""."""
        client, completed = self.tracker.client, ""
        if self.model() is None:
            raise UserError(
                f"there is no registered model `{self.name}`.", hint="Run `falcon run`."
            )
        with registry_lock(client, self.name, self.space.state, patience=self.patience) as lease:
            if lease.change is not None:
                move = Move(**lease.change)
                alias_moves.make(move, client, self.name, self.versions(), lease)
                lease.begin(None)
                completed = move.command
                text = (
                    f"the {completed} of {move.when} by {move.by} was cut off and is complete now"
                )
                line = f"registry: {text}: {move}"
                _console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
            champion = self.by_alias(CHAMPION)
            yield lease, self.versions(), champion.number if champion else "", completed

    # -- its files -------------------------------------------------------------------

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
        """All parts of a version as ``folder``; raises UserError when they are not its own."""
        uri = f"models:/{self.name}/{version.number}"
        download_parts(self.tracker, uri, folder, version.tags)
