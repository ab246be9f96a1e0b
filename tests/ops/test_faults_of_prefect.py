"""Prefect away, killed or occupied, and schedules that are lost: the next run trains."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.ops.clone import FALCON, Clone, Moment, Running
from tests.ops.servers import prefect_server
from tests.processes import free_port

IN_SEED = Moment("-m tasks seed", event="os.rename", text="outputs/seed/")


@pytest.mark.row(
    "run", "at its start", "PREFECT_API_URL names a server that is away",
    "one line, before any stage; without the variable it runs",
)  # fmt: skip
def test_a_server_that_is_not_there_is_said_before_any_stage(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("gate")
    url = f"http://127.0.0.1:{free_port()}/api"
    for words in (("run",), ("schedule",), ("benchmark",)):
        clone.falcon(*words, PREFECT_API_URL=url).refused(url)
    assert not clone.space.output("gate").exists()
    clone.falcon("stage", "gate").ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "in a stage", "the Prefect server is killed and stays away",
    "it ends well, or with one line; what was made is kept; the same command goes on",
)  # fmt: skip
def test_a_server_that_goes_away_in_a_run(clone: Clone, tmp_path: Path) -> None:
    before = clone.facts()
    clone.forget("seed")
    with prefect_server(tmp_path / "prefect") as server:
        # Prefect waits for its server to come back a minute at each call; here not that long.
        extra = {"PREFECT_API_URL": f"{server.url}/api", "PREFECT_CLIENT_MAX_RETRIES": "1"}
        running = clone.start(*FALCON, "run", at=IN_SEED, **extra).reached()
        server.stop()
        running.go()
        done = running.end()
    if done.code:
        done.refused("Prefect")
    clone.falcon("run").ok()
    clone.whole(before)


@pytest.mark.nightly
@pytest.mark.row(
    "run", "in a stage", "its own temporary Prefect server is killed",
    "the run ends well, without anybody's help",
)  # fmt: skip
def test_a_temporary_server_that_is_killed(clone: Clone) -> None:
    before = clone.facts()
    clone.forget("seed")
    running = clone.start(*FALCON, "run", at=IN_SEED).reached()
    server = next(p for p in clone.processes() if "prefect.server" in " ".join(p.cmdline()))
    server.kill()
    running.go()
    running.end().ok()
    clone.whole(before)


@pytest.mark.row(
    "schedule", "at its start", "its port belongs to another program",
    "one line that names the port",
)  # fmt: skip
def test_a_port_in_use_is_named(clone: Clone) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        clone.falcon("schedule", "--port", port).refused(f"port {port}")


def scheduled(clone: Clone, port: int, **options: object) -> Running:
    """A schedule that starts a run every minute."""
    words = ("schedule", "--cron", "* * * * *", "--port", str(port))
    return clone.start(*FALCON, *words, **options)


def states(port: int) -> list[tuple[str, str]]:
    """Name and state of the scheduled flow runs that are no longer to come."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/flow_runs/filter",
        data=json.dumps({"sort": "START_TIME_ASC"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            runs = json.load(reply)
    except urllib.error.URLError:  # it has not begun to listen
        return []
    begun = [r for r in runs if r["deployment_id"] and r["state_type"] != "SCHEDULED"]
    return [(r["name"], r["state_name"]) for r in begun]


def until_state(running: Running, port: int, wanted: str) -> None:
    def reached() -> bool:
        time.sleep(0.5)
        return wanted in [state for _, state in states(port)]

    running.until(reached, 300)


@pytest.mark.nightly
@pytest.mark.row(
    "schedule", "in a scheduled training", "kill -9 of everything, then the schedule again",
    "the next run that is due trains to its end; the dead one is Crashed, not Running",
)  # fmt: skip
def test_a_schedule_that_was_lost_trains_again(clone: Clone) -> None:
    clone.forget("seed")
    port = free_port()
    first = scheduled(clone, port, at=IN_SEED).reached()
    first.lose()
    for process in clone.processes():
        process.kill()
    again = scheduled(clone, port)
    until_state(again, port, "Completed")
    found = [state for _, state in states(port)]
    assert "Crashed" in found, found
    again.send(signal.SIGTERM)
    again.end(90)
    clone.ends_alone()
    assert "RUNNING" not in clone.runs().values()
    assert clone.serving() in ("1", "2")


@pytest.mark.nightly
@pytest.mark.row(
    "schedule", "in a scheduled training", "SIGTERM to `falcon schedule`",
    "it ends with all it started; the run is no longer RUNNING in MLflow nor in Prefect",
)  # fmt: skip
def test_a_schedule_that_is_stopped_ends_its_run(clone: Clone) -> None:
    clone.forget("seed")
    running = scheduled(clone, free_port(), at=IN_SEED).reached()
    running.send(signal.SIGTERM)
    running.go()
    running.end(120)
    clone.ends_alone(60)
    clone.falcon("stage", "seed").ok()
    assert "RUNNING" not in clone.runs().values()
    with sqlite3.connect(clone.space.state / "prefect" / "prefect.db") as database:
        rows = database.execute("SELECT DISTINCT state_type FROM flow_run").fetchall()
    assert ("RUNNING",) not in rows
