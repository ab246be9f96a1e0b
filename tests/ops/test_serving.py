"""The model in service over real HTTP (``mlflow models serve``): the programs of ``falcon generate``,
by the code it was registered with, whatever lies in the clone by now."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from falcon import env
from tests.ops.servers import Server, _running
from tests.processes import free_port
from tests.serving.registered_version import Registered, register

TASKS = ["Double a number.", "Größter Wert — 最大値 🙂", "Give the sum\nof a list."]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    return register(tmp_path_factory.mktemp("served") / "work")


@pytest.fixture(scope="module")
def server(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    # The code moved on: what is imported here as falcon is of no use to that version.
    (folder / "falcon").mkdir()
    (folder / "falcon" / "__init__.py").write_text("raise ImportError('another release')\n")
    port = free_port()
    words = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", registered.uri, "--env-manager",
        "local", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    more = {
        "MLFLOW_TRACKING_URI": registered.registry.tracker.uri,
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    with _running(Server(words, port, "/ping", folder, more)) as running:
        yield running


def post(server: Server, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{server.url}/invocations", data, headers={"Content-Type": kind}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as fault:
        return fault.code, json.loads(fault.read() or b"null")


def ask(server: Server, *tasks: str, **params: float) -> list[str]:
    rows = [{"prompt": task} for task in tasks]
    code, answer = post(server, {"dataframe_records": rows, "params": params})
    assert code == 200, answer
    return list(answer["predictions"])


def generated(registered: Registered, *words: str) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "FALCON_"))}
    environment["PYTHONPATH"] = str(ROOT)
    env.apply(registered.space.root, environment)
    done = subprocess.run(
        [sys.executable, "-m", "falcon.cli", "generate", *words, "--json"],
        cwd=registered.space.root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_it_answers_as_falcon_generate_does(registered: Registered, server: Server) -> None:
    served = ask(server, *TASKS)
    for task, program in zip(TASKS, served, strict=True):
        told = generated(registered, task, "--max-new-tokens", "0")  # as many as the version has
        assert told["recalled"], "without recall the memory is not tested"
        assert told["policy"].endswith("version 1, in service")
        assert told["samples"][0]["program"] == program
    signature = "def double(x: int) -> int:"
    told = generated(registered, TASKS[0], "--signature", signature, "--max-new-tokens", "9")
    rows = [{"prompt": TASKS[0], "signature": signature}]
    body = {"dataframe_records": rows, "params": {"max_new_tokens": 9}}
    assert post(server, body) == (200, {"predictions": [told["samples"][0]["program"]]})


def test_batches_and_requests_at_once_get_what_each_gets_alone(server: Server) -> None:
    alone = {task: ask(server, task)[0] for task in TASKS}
    assert ask(server, *TASKS * 7) == [alone[task] for task in TASKS * 7]
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda task: ask(server, task)[0], TASKS * 3)
        assert list(answers) == [alone[task] for task in TASKS * 3]
    split = {"dataframe_split": {"columns": ["prompt"], "data": [[TASKS[0]]]}}
    assert post(server, split)[1]["predictions"] == [alone[TASKS[0]]]
    assert post(server, {"inputs": {"prompt": TASKS}})[1]["predictions"] == list(alone.values())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"dataframe_records": [{"prompt": ""}]}, "the task is empty"),
        ({"dataframe_records": [{"prompt": "word " * 3000}]}, "the task is too long"),
        ({"dataframe_records": [{"prompt": None}]}, ""),
        ({"dataframe_records": [{"question": "x"}]}, "prompt"),
        ({"dataframe_records": [{"prompt": "\ud800"}]}, ""),
        ({"dataframe_records": [{"prompt": "x"}], "params": {"temperature": -1.0}}, "temperature"),
        ({"dataframe_records": [{"prompt": "x"}], "params": {"seed": "x"}}, "seed"),
        ({"dataframe_records": [{"prompt": "x", "signature": "f("}]}, "is no signature"),
        ({"prompts": ["x"]}, ""),
        (b"{", ""),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_and_the_server_goes_on(
    server: Server, body: Any, said: str
) -> None:
    code, answer = post(server, body)
    assert code == 400, answer
    assert said in answer["message"]
    assert len(ask(server, TASKS[0])) == 1
