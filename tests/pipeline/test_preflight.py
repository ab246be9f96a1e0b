"""Preflight: addresses that cannot be right, and trackers that are merely away."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pipeline_workspace import enter, sh

from falcon import doctor
from falcon.cli import main as cli
from falcon.config import Settings, TrackingSettings
from falcon.errors import UserError, without_passwords
from tasks.support.preflight import FINDINGS, examine_tracker, require_prefect, require_ready
from tasks.support.tracking import Tracker
from tasks.support.workspace import Workspace


class Answers(BaseHTTPRequestHandler):
    """Answers every request with the status that its path begins with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def answering() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def here(shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    enter(shared, monkeypatch)
    return shared


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_uri(space: Workspace, uri: str) -> Settings:
    return space.settings().model_copy(update={"tracking": TrackingSettings(uri=uri)})


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("htp://u:s3cret@host", "`htp` is no kind of tracker"),
        ("postgresql+none://u:s3cret@host/x", "no kind of tracker"),
        ("oracle://u:s3cret@host/x", "no kind of tracker"),
        ("mssql://u:s3cret@127.0.0.1/x", "package pyodbc is not installed"),
        ("http://u:s3cret@host:port", "cannot be used"),
        ("http://u:s3cret@AT/401", "asks for another user and password"),
        ("http://u:s3cret@AT/403", "refuses us"),
        ("http://u:s3cret@AT/404", "no MLflow server is there"),
        ("http://u:s3cret@AT/200", "no MLflow server is there"),
        ("https://u:s3cret@AT", "no safe connection"),
        ("./mlruns", "cannot be used"),
        ("sqlite://", "names no file"),
        ("sqlite:////nowhere/s/m.db", "the folder /nowhere/s is not there"),
        ("sqlite:///params.yaml", "file is not a database"),
    ],
)
def test_an_address_that_cannot_be_right_is_one_line_without_its_password(
    here: Workspace, answering: str, uri: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        examine_tracker(here, with_uri(here, uri.replace("AT", answering)))
    text = str(caught.value)
    assert said in text
    assert caught.value.hint
    assert "s3cret" not in text
    assert "\n" not in text
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize("uri", ["http://u:s3cret@127.0.0.1:SHUT", "http://u:s3cret@AT/503"])
def test_a_tracker_that_is_away_is_a_warning_and_refused_only_for_a_new_run(
    here: Workspace, answering: str, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = uri.replace("AT", answering).replace("SHUT", str(closed_port()))
    settings = with_uri(here, uri)
    require_ready(here, settings)
    require_ready(here, settings)  # said once
    said = capsys.readouterr().err
    assert said.count("does not answer") == 1
    assert "s3cret" not in said
    with pytest.raises(UserError, match="does not answer"):
        require_ready(here, settings, anew=True)


def other_database(folder: Path, *statements: str) -> str:
    with sqlite3.connect(folder / "other.db") as database:
        for statement in statements:
            database.execute(statement)
    return f"sqlite:///{folder / 'other.db'}"


def test_a_database_that_is_not_ours_is_never_changed(here: Workspace, tmp_path: Path) -> None:
    uri = other_database(tmp_path, "CREATE TABLE bills (amount)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(UserError, match=r"none of MLflow's"):
        examine_tracker(here, with_uri(here, uri))
    assert (tmp_path / "other.db").read_bytes() == before
    uri = other_database(
        tmp_path,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('ffff00000000')",
    )
    with pytest.raises(UserError, match="newer MLflow"):
        examine_tracker(here, with_uri(here, uri))
    # The revision of an early MLflow.
    other_database(tmp_path, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    with pytest.raises(UserError, match="mlflow db upgrade sqlite:////"):
        examine_tracker(here, with_uri(here, uri))


def test_a_deleted_experiment_is_said_and_its_calls_wait_for_it(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = space.settings()
    tracker = Tracker(settings, space, pause=0.0)
    key = tracker.experiment_id()
    examine_tracker(space, settings)
    tracker.client.delete_experiment(key)
    with pytest.raises(UserError, match=f"restore --experiment-id {key}"):
        examine_tracker(space, settings)
    run = tracker.create_run("stage", {})
    run.metrics({"loss": 1.0})
    run.end("FINISHED")
    assert tracker.queue.pending() == 3
    assert not (tracker.queue.folder / "refused.jsonl").exists()
    tracker.client.restore_experiment(key)
    assert tracker.queue.replay()
    logged = tracker.client.get_run(tracker.run_ids.real(run.id))
    assert (logged.info.status, logged.data.metrics) == ("FINISHED", {"loss": 1.0})


def test_calls_to_a_wrong_address_are_made_after_it_is_mended(space: Workspace) -> None:
    wrong = Tracker(with_uri(space, "htp://tracker"), space, pause=0.0)
    run = wrong.create_run("stage", {"a": "b"})
    run.params({"p": 1})
    run.end("FINISHED")
    mended = Tracker(space.settings(), space)
    assert mended.queue.replay()
    assert mended.client.get_run(mended.run_ids.real(run.id)).data.params == {"p": "1"}


def test_an_experiment_s_files_must_be_where_this_tracker_reaches_them(space: Workspace) -> None:
    settings = space.settings()
    tracker = Tracker(settings, space)
    tracker.client.create_experiment("served", artifact_location="mlflow-artifacts:/1")
    served = settings.tracking.model_copy(update={"experiment": "served"})
    with pytest.raises(UserError, match="with a tracking server"):
        examine_tracker(space, settings.model_copy(update={"tracking": served}))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:4200/api", "no address of a server"),
        ("http://127.0.0.1:SHUT/api", "Connection refused"),
        ("http://u:s3cret@AT/404", "HTTP 404"),
        ("http://AT/200", "no Prefect server"),
    ],
)
def test_a_prefect_address_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, answering: str, url: str, said: str
) -> None:
    url = url.replace("AT", answering).replace("SHUT", str(closed_port()))
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(UserError, match=said) as caught:
        require_prefect()
    assert "s3cret" not in str(caught.value)


def test_a_model_that_is_not_fetched_is_refused_before_any_stage(here: Workspace) -> None:
    settings = Settings().changed({"policy.model": "qwen2.5-coder-0.5b-instruct"})
    with pytest.raises(UserError, match="Run `falcon models fetch"):
        require_ready(here, settings)


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "PREFECT_API_URL"])
def test_commands_refuse_before_prefect_is_imported(here: Workspace, variable: str) -> None:
    code = "import sys; from falcon.cli.main import run; c = run(sys.argv[1:]); " \
        "sys.exit(99 if 'prefect' in sys.modules else c)"  # fmt: skip
    wrong = {variable: "htp://u:s3cret@h/api"}
    for words in (["run"], ["benchmark"], ["schedule"]):
        done = sh(here.root, sys.executable, "-c", code, *words, **wrong)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "htp://***@h" in done.stderr
    if variable == "MLFLOW_TRACKING_URI":  # `dvc repro` comes without us
        done = sh(here.root, sys.executable, "-m", "tasks", "prepare", **wrong)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_doctor_says_the_same(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.load_plugins(cli.app)
    assert set(FINDINGS) <= set(doctor.MORE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "htp://u:s3cret@h")
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{closed_port()}/api")
    found = {name: check(here.root) for name, check in FINDINGS.items()}
    assert found["tracker"][0] == found["prefect"][0] == "missing"
    assert "s3cret" not in str(found)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://u:s3cret@127.0.0.1:{closed_port()}")
    monkeypatch.delenv("PREFECT_API_URL")
    found = {name: check(here.root) for name, check in FINDINGS.items()}
    states = [found[name][0] for name in ("tracker", "prefect", "promotion", "clone")]
    assert states == ["note", "ok", "ok", "note"]  # the code that runs here is the repository's
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://u:p@h:5/x?y=1 now", "at postgresql://***@h:5/x?y=1 now"),
        ("http://u:p@ss/w@h/x", "http://***@h/x"),
        ("url: /a?token=abc&b=2", "url: /a?token=***&b=2"),
        ("http://h/x", "http://h/x"),
        ("mail a@b.c of http://h", "mail a@b.c of http://h"),
    ],
)
def test_passwords_are_taken_out_of_texts(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_a_clone_that_cannot_be_written_is_one_line(here: Workspace) -> None:
    words = [sys.executable, "-m", "falcon.cli"]
    if os.getuid() == 0:  # root may write everything, unless it gives that up
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv")
        few = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
        words = ["setpriv", *few, *words]
    folders = [here.root, *(p for p in here.root.iterdir() if p.is_dir())]
    modes = {folder: folder.stat().st_mode for folder in folders}
    try:
        for folder in folders:
            folder.chmod(0o555)
        for command in (["run"], ["stage", "gate"]):
            done = sh(here.root, *words, *command)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            assert f"{here.root} cannot be written" in done.stderr
        done = sh(here.root, *words, "doctor", COLUMNS="400")
        assert f"{here.root} cannot be written" in done.stdout
        assert sh(here.root, *words, "config").returncode == 0
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
