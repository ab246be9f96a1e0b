"""A clone that tests break: it runs commands, meets faults, and says whether anything was lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from ruamel.yaml import YAML

from tasks.support.workspace import STAGES, Workspace

INJECT = Path(__file__).parent / "inject"
FALCON = (sys.executable, "-m", "falcon.cli")
REGISTRY = "tasks.support.registry:Registry"
AGAIN = ("run", "--set", "seed=1")
"""The second run of a workspace: its policy is another."""
DVC = (sys.executable, "-m", "dvc")


@dataclass(frozen=True)
class Moment:
    """When a fault comes, in which process: see ``inject/sitecustomize.py``."""

    argv: str
    event: str = ""
    text: str = ""
    call: str = ""
    count: int = 1


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    def how(self, stage: str) -> str:
        """What a run said of a stage: "ran", "unchanged", "restored"; "" where it did not end."""
        row = re.search(
            rf"^  {stage} +(unchanged|restored|[\d:]+)  (?!failed|interr)", self.out, re.M
        )
        return "" if row is None else row[1] if row[1].isalpha() else "ran"

    @property
    def said(self) -> list[str]:
        """What the command itself said last: its lines that begin with its name."""
        return [line for line in self.err.splitlines() if line.startswith("falcon:")]

    def ok(self) -> Done:
        assert self.code == 0, f"exit {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"
        return self

    def refused(self, *words: str) -> Done:
        """It ended with one line that contains ``words``, and the exit code of such an end."""
        told = f"exit {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"
        assert 0 < self.code < 5, told
        assert "Traceback" not in self.all, told
        assert "a defect" not in self.all, told
        assert len(self.said) == 1, told
        assert [w for w in words if w not in self.said[0]] == [], self.said[0]
        return self


@dataclass
class Running:
    """A command that runs, in a session of its own."""

    process: subprocess.Popen[bytes]
    folder: Path

    def reached(self, seconds: float = 600) -> Running:
        """Wait until its fault's moment has come."""
        self.until(lambda: (self.folder / "met").exists(), seconds)
        return self

    def until(self, holds: Any, seconds: float = 600) -> None:
        """Wait until something holds; an error when the command ends before."""
        end = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, f"it ended before\n{self.text()[-4000:]}"
            assert time.monotonic() < end, f"it did not come to that\n{self.text()[-4000:]}"
            time.sleep(0.02)

    def until_said(self, word: str, seconds: float = 600) -> None:
        """Wait until the command's output contains ``word``."""
        self.until(lambda: word in self.text(), seconds)

    def text(self) -> str:
        """What it has printed by now."""
        return "".join((self.folder / name).read_text(errors="replace") for name in ("out", "err"))

    def go(self) -> None:
        """Let a process that waits at its moment go on."""
        (self.folder / "go").touch()

    def send(self, number: int) -> None:
        """Send a signal to the command alone."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C: every process in front of the terminal gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def lose(self) -> None:
        """Kill everything it started: the machine is gone."""
        for process in [*family(self.process.pid), self.process]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()

    def end(self, seconds: float = 1100) -> Done:
        """Wait for its end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.lose()
            raise AssertionError(f"it did not end\n{self.text()[-4000:]}") from None
        out, err = ((self.folder / n).read_text(errors="replace") for n in ("out", "err"))
        return Done(code, out, err)


def family(pid: int) -> list[psutil.Process]:
    """All descendants of a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@dataclass(frozen=True)
class Facts:
    """What must not get lost."""

    versions: Mapping[str, str]
    aliases: Mapping[str, str]
    runs: Mapping[str, str]
    files: Mapping[str, str]
    results: Mapping[str, str]


@dataclass
class Clone:
    """A finished workspace of a test's own."""

    root: Path
    logs: Path
    environment: dict[str, str] = field(default_factory=dict)
    uri: str = ""
    _started: list[Running] = field(default_factory=list)

    @property
    def space(self) -> Workspace:
        return Workspace(self.root.resolve())

    def start(
        self,
        *words: str | Path,
        at: Moment | None = None,
        do: str = "wait",
        errno: int = 0,
        prefix: Iterable[str] = (),
        **extra: str,
    ) -> Running:
        """Start a command line; the fault ``do`` comes at a moment."""
        folder = self.logs / f"{len(self._started):02d}"
        folder.mkdir(parents=True)
        environment = clean_environment(self.root) | self.environment | extra
        if at is not None:
            fault = {**at.__dict__, "do": do, "errno": errno, "folder": str(folder)}
            environment["OPS_FAULT"] = json.dumps(fault)
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [*prefix, *map(str, words)],
                cwd=self.root,
                env={k: v for k, v in environment.items() if v != "-"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._started.append(Running(process, folder))
        return self._started[-1]

    def sh(self, *words: str | Path, **options: Any) -> Done:
        """Run a command line to its end."""
        return self.start(*words, **options).end()

    def falcon(self, *words: str, **options: Any) -> Done:
        """Run a command of ``falcon`` to its end."""
        return self.sh(*FALCON, *words, **options)

    def dvc(self, *words: str, **options: Any) -> Done:
        """Run a command of DVC to its end."""
        return self.sh(*DVC, *words, **options)

    def killed(self, *words: str, at: Moment, do: str = "kill", **options: Any) -> Done:
        """Run a command of ``falcon`` that is lost at a moment; it must have come to it."""
        running = self.start(*FALCON, *words, at=at, do=do, **options)
        done = running.end()
        assert (running.folder / "met").exists(), f"not reached\n{done.all[-4000:]}"
        if do == "kill":
            running.lose()  # whoever left its group goes, too
        return done

    def stop(self) -> None:
        """Kill whatever still runs here."""
        for running in self._started:
            if running.process.poll() is None:
                running.lose()
        for process in self.processes():
            process.kill()

    def processes(self) -> list[psutil.Process]:
        """Processes that run in this clone or were started for it."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
            words, place = process.info["cmdline"] or [], process.info["cwd"] or ""
            if process.pid != os.getpid() and any(
                str(self.root) in text for text in (*words, place)
            ):
                found.append(process)
        return found

    def ends_alone(self, seconds: float = 30) -> None:
        """Nothing that was started here is left."""
        end = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < end, [process.cmdline() for process in left]
            time.sleep(0.2)

    def forget(self, *stages: str) -> None:
        """Let stages be to do: no results, no entry in dvc.lock, none in DVC's run cache."""
        file = self.root / "dvc.lock"
        editor = YAML()  # DVC writes YAML 1.2: to PyYAML a plain `off` would be false
        tree = editor.load(file)
        for stage in stages:
            tree["stages"].pop(stage)
            shutil.rmtree(self.space.output(stage))
        editor.dump(tree, file)
        shutil.rmtree(self.root / ".dvc" / "cache" / "runs")

    def results(self) -> dict[str, str]:
        """Hash of every output in dvc.lock, which must be that of the file there."""
        from tasks.support.files import path_md5

        tree = yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]
        found = {}
        for stage in STAGES:
            for out in tree.get(stage, {}).get("outs", []):
                assert path_md5(self.root / out["path"]) == out["md5"], out["path"]
                found[out["path"]] = out["md5"]
        return found

    def client(self) -> Any:
        """An MlflowClient of this clone's tracker."""
        from mlflow import MlflowClient

        return MlflowClient(self.uri or f"sqlite:///{self.root}/state/mlflow.db")

    def runs(self) -> dict[str, str]:
        """Status of each run of the experiment."""
        client = self.client()
        experiment = client.get_experiment_by_name("falcon")
        if experiment is None:
            return {}
        found = client.search_runs([experiment.experiment_id], max_results=1000)
        return {run.info.run_id: run.info.status for run in found}

    def aliases(self) -> dict[str, str]:
        """Version of each alias of the registered model."""
        models = self.client().search_registered_models()
        return {k: str(v) for model in models for k, v in model.aliases.items()}

    def serving(self) -> str:
        """The version in service."""
        return self.aliases().get("champion", "")

    def versions(self) -> dict[str, str]:
        """Hash of the policy of each version."""
        found = self.client().search_model_versions()
        return {str(each.version): each.tags.get("policy.md5", "") for each in found}

    def tracked(self) -> dict[str, str]:
        """Hash of each file that git tracks."""
        names = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z"],
            cwd=self.root, capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        files = [self.root / name for name in names.split("\0") if name]
        return {
            str(file.relative_to(self.root)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.is_file()
        }

    def facts(self) -> Facts:
        """What there is now."""
        return Facts(self.versions(), self.aliases(), self.runs(), self.tracked(), self.results())

    def whole(
        self, before: Facts, *, edited: Iterable[str] = (), same_results: bool = True
    ) -> Facts:
        """Nothing of ``before`` is lost: versions, aliases, runs and files (but ``edited``).

        No run is left running, the queue is empty, databases are sound, and results are those
        of an undisturbed run.
        """
        now = self.facts()
        assert {k: now.versions.get(k) for k in before.versions} == before.versions
        assert now.aliases == before.aliases
        assert {k: now.runs.get(k) for k in before.runs} == before.runs
        assert [k for k, status in now.runs.items() if status == "RUNNING"] == []
        assert list((self.root / "state" / "spool").glob("*.jsonl")) == []
        kept = {k: v for k, v in before.files.items() if k not in set(edited)}
        assert {k: now.files.get(k) for k in kept} == kept
        assert not same_results or now.results == before.results
        database = self.root / "state" / "mlflow.db"
        if database.exists():
            with sqlite3.connect(database) as each:
                assert each.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return now

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace text in a file; it must be there."""
        file = self.root / name
        text = file.read_text()
        assert before in text, f"{name}: no {before!r}"
        file.write_text(text.replace(before, after))


def clean_environment(root: Path) -> dict[str, str]:
    """Our environment without settings of our own, and a workspace's code first."""
    environment = {
        k: v for k, v in os.environ.items()
        if not k.startswith(("MLFLOW_", "PREFECT_", "FALCON_", "PYTEST_"))
    }  # fmt: skip
    environment["PYTHONPATH"] = os.pathsep.join((str(root), str(INJECT)))
    environment["COLUMNS"] = "300"
    environment["OMP_NUM_THREADS"] = "1"
    path = environment.get("PATH", "")
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), path))
    return environment


def copy_clone(source: Path, target: Path) -> Path:
    """Copy a clone as `cp -a` does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = ["cp", "-a", "--reflink=auto", str(source), str(target)]
    done = subprocess.run(copy, capture_output=True, text=True, check=False)
    if done.returncode:
        # A database that was closed meanwhile has taken its files -wal and -shm away.
        said = done.stderr.splitlines()
        assert all(
            line.endswith(("-wal': No such file or directory", "-shm': No such file or directory"))
            for line in said
        ), said
        shutil.rmtree(target)
        subprocess.run(copy, check=True)
    return target
