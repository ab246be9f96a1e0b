"""MLflow away, wrong or broken: work goes on or does not begin, and the record is made later."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ops.clone import FALCON, Clone, Moment, Running
from tests.ops.servers import Server
from tests.processes import free_port

KEPT = "the stages run, calls are kept; one line at the registry; later all on record"
REFUSED = "one line without a password, no stage runs; corrected, the same command runs"


def to_server(clone: Clone, server: Server) -> dict[str, str]:
    """Let a clone use a tracker of its own, with its first version in it."""
    clone.uri = server.url
    return {"MLFLOW_TRACKING_URI": server.url}


@pytest.mark.row("run", "from its start", "the tracker is away", KEPT)
def test_a_tracker_that_is_away_from_the_start(clone: Clone, prefect_url: str) -> None:
    before = clone.facts()
    clone.forget("gate")
    uri = f"http://127.0.0.1:{free_port()}"
    done = clone.falcon("run", MLFLOW_TRACKING_URI=uri, PREFECT_API_URL=prefect_url)
    done.refused(uri, "failed", "Start the tracker")
    assert done.how("gate") == "ran"
    assert clone.runs() == before.runs
    clone.falcon("run", PREFECT_API_URL=prefect_url).ok()
    now = clone.whole(before)
    assert len(now.runs) == len(before.runs) + 3  # two runs, and the gate of the first


def without_tracker(clone: Clone, tracker: Server, extra: dict[str, str]) -> Running:
    """A run whose tracker goes away in the middle of its training."""
    clone.forget("train", "gate")
    at = Moment("-m tasks train", event="os.rename", text="state/checkpoints")
    running = clone.start(*FALCON, "run", at=at, **extra).reached()
    tracker.stop()
    running.go()
    return running


@pytest.mark.nightly
@pytest.mark.row("train", "in the middle", "the tracker goes away for good", KEPT)
def test_a_tracker_that_goes_away(clone: Clone, prefect_url: str, tracker: Server) -> None:
    extra = {**to_server(clone, tracker), "PREFECT_API_URL": prefect_url}
    running = without_tracker(clone, tracker, extra)
    done = running.end().refused("failed", "Start the tracker")
    assert done.how("gate") == "ran"
    tracker.start()
    clone.falcon("run", **extra).ok()
    assert clone.serving() == "1"
    statuses = clone.runs()
    assert set(statuses.values()) == {"FINISHED", "FAILED"}
    assert list(statuses.values()).count("FAILED") == 1  # the flow that could not register
    (run,) = clone.client().search_runs(
        [clone.client().get_experiment_by_name("falcon").experiment_id], "tags.stage = 'train'"
    )
    history = clone.client().get_metric_history(run.info.run_id, "loss/total")
    assert [m.step for m in history] == [0, 1]


@pytest.mark.nightly
@pytest.mark.row(
    "run", "in the middle", "the tracker goes away and comes back",
    "the run ends well; everything is on record, in order",
)  # fmt: skip
def test_a_tracker_that_comes_back(clone: Clone, prefect_url: str, tracker: Server) -> None:
    extra = {**to_server(clone, tracker), "PREFECT_API_URL": prefect_url}
    running = without_tracker(clone, tracker, extra)
    running.until(lambda: any((clone.root / "state" / "spool").glob("*.jsonl")))
    tracker.start()
    running.end().ok()
    assert clone.serving() == "1"
    assert set(clone.runs().values()) == {"FINISHED"}
    assert list((clone.root / "state" / "spool").glob("*.jsonl")) == []


@pytest.mark.nightly
@pytest.mark.row(
    "run", "two runs in one outage", "the tracker is away",
    "each run gets its own files, not those of the later one",
)  # fmt: skip
def test_two_runs_in_one_outage_keep_their_own_files(clone: Clone) -> None:
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    scores = []
    for tolerance in ("0.9", "0.8"):
        clone.falcon("stage", "gate", "--set", f"gate.tolerance={tolerance}", **away).ok()
        scores.append((clone.root / "outputs/gate/gate.json").read_text())
    assert scores[0] != scores[1]
    known = set(clone.runs())
    clone.falcon("stage", "gate", "--set", "gate.tolerance=0.7").ok()
    client, found = clone.client(), []
    for run in set(clone.runs()) - known:
        file = client.download_artifacts(run, "gate/gate.json", str(clone.logs))
        found.append((client.get_run(run).info.start_time, Path(file).read_text()))
    assert [text for _, text in sorted(found)][:2] == scores


WRONG = {
    "htp": ("a scheme that cannot be", "htp://user:s3cret@127.0.0.1:5000"),
    "driver": ("a database driver that is missing", "postgresql://user:s3cret@127.0.0.1/falcon"),
}


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param(uri, id=name, marks=pytest.mark.row("run", "at its start", fault, REFUSED))
        for name, (fault, uri) in WRONG.items()
    ],
)
def test_an_address_that_cannot_be_is_refused_before_any_stage(clone: Clone, uri: str) -> None:
    before = clone.facts()
    clone.forget("gate")
    for words in (("run",), ("stage", "gate")):
        done = clone.falcon(*words, MLFLOW_TRACKING_URI=uri).refused("the tracker")
        assert "s3cret" not in done.all
        assert not clone.space.output("gate").exists()
    assert "s3cret" not in "".join(
        p.read_text(errors="replace") for p in (clone.root / "state").rglob("*.jsonl")
    )
    clone.falcon("stage", "gate").ok()
    clone.whole(before)


@contextmanager
def answering(code: int) -> Iterator[str]:
    """A server that answers every request with one code, as a gateway before MLflow does."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"error_code": "UNAUTHENTICATED", "message": "no"}).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.row("run", "at its start", "the tracker refuses the password", REFUSED)
def test_a_password_that_is_refused_is_said_before_any_stage(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    with answering(401) as place:
        uri = f"http://user:s3cret@{place}"
        done = clone.falcon("run", MLFLOW_TRACKING_URI=uri).refused(place)
        assert "s3cret" not in done.all
    assert not clone.space.output("gate").exists()
    clone.falcon("stage", "gate").ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row("run", "at its start", "the tracker answers 503 to everything", KEPT)
def test_a_tracker_that_is_broken_is_an_outage(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    with answering(503) as place:
        clone.falcon("stage", "gate", MLFLOW_TRACKING_URI=f"http://{place}").ok()
    assert clone.runs() == before.runs
    clone.forget("gate")
    clone.falcon("stage", "gate").ok()
    now = clone.whole(before)
    assert len(now.runs) == len(before.runs) + 2


@pytest.mark.row("run", "at its start", "the experiment was deleted", REFUSED)
def test_a_deleted_experiment_is_said_before_any_stage(clone: Clone) -> None:
    client = clone.client()
    experiment = client.get_experiment_by_name("falcon").experiment_id
    client.delete_experiment(experiment)
    clone.forget("gate")
    for words in (("run",), ("stage", "gate")):
        clone.falcon(*words).refused("falcon", "deleted")
        assert not clone.space.output("gate").exists()
    client.restore_experiment(experiment)
    clone.falcon("stage", "gate").ok()
    assert clone.serving() == "1"


@pytest.mark.row(
    "run", "at its start", "a new run (--carry-on) while the tracker is away",
    "refused in one line: the model in service cannot be known; nothing is changed",
)  # fmt: skip
def test_a_new_run_does_not_begin_without_the_registry(clone: Clone) -> None:
    before = clone.facts()
    uri = f"http://127.0.0.1:{free_port()}"
    clone.falcon("run", "--carry-on", MLFLOW_TRACKING_URI=uri).refused(uri)
    clone.whole(before)


@pytest.mark.row(
    "run", "at its start", "state/mlflow.db is no database",
    "one line that names the file; the file is not touched",
)  # fmt: skip
def test_a_database_that_is_none_is_named(clone: Clone) -> None:
    file = clone.root / "state" / "mlflow.db"
    kept = file.read_bytes()
    file.write_bytes(b"nothing of a database\n" * 500)
    for words in (("run",), ("promote",)):
        clone.falcon(*words).refused("mlflow.db")
    clone.forget("gate")
    clone.falcon("stage", "gate").refused("mlflow.db")
    assert file.read_bytes().startswith(b"nothing of a database")
    file.write_bytes(kept)
    clone.falcon("stage", "gate").ok()
