"""``falcon evaluate`` and ``falcon generate`` with ``--server``: no model is loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from critics.chat_server import answer, chat_server

from tests.cli.conftest import PROBLEM, Falcon

RIGHT = "def double(x):\n    return 2 * x\n"
WITHOUT_TORCH = """\
import sys
sys.modules["torch"] = None
from falcon.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def say(n: int, body: dict[str, Any]) -> Any:
    return answer(f"Doubling is adding.\n\n```python\n{RIGHT}```\nThat is all.")


def test_evaluating_needs_neither_torch_nor_weights(here: Path) -> None:
    problem = json.dumps(PROBLEM | {"split": "test"})
    (here / "data" / "problems.jsonl").write_text(problem + "\n")
    with chat_server(say) as server:
        words = ("evaluate", "builtin", "--server", server.url, "--model", "some/model")
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *words, "--samples", "2"],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
        assert "100.0 %" in done.stdout
        assert server.paths == ["/v1/chat/completions"] * 2
        assert {body["model"] for body in server.requests} == {"some/model"}
        (message,) = server.requests[0]["messages"]
        assert message["role"] == "user"
        assert message["content"].startswith("Double a number.")
    scores = json.loads((here / "state" / "evaluation" / "scores.json").read_text())
    assert scores["prompt_version"] == "chat-open-1"
    assert scores["model"] == "some/model"
    assert scores["server"] == server.url


def test_scores_as_json(here: Path, falcon: Falcon) -> None:
    problem = json.dumps(PROBLEM | {"split": "test"})
    (here / "data" / "problems.jsonl").write_text(problem + "\n")
    with chat_server(say) as server:
        words = ("evaluate", "builtin", "--server", server.url, "--model", "some/model")
        done = falcon(*words, "--out", "scored", "--json")
    assert done.code == 0, done.err
    scores = json.loads(done.out)
    assert scores["policies"]["base"]["suites"]["builtin"]["pass@1"]["value"] == 1.0
    assert scores == json.loads((here / "scored" / "scores.json").read_text())


def test_generating_at_a_server(here: Path, falcon: Falcon) -> None:
    (here / "t.py").write_text("assert double(2) == 4\n")
    words = ("generate", "Double a number.", "--signature", "def double(x)", "--tests", "t.py")
    with chat_server(say) as server:
        done = falcon(*words, "--server", server.url, "--model", "some/model", "--samples", "3")
        assert (done.code, done.out) == (0, RIGHT)
        assert "3 of 3 programs pass" in done.err
        assert f"some/model at {server.url}" in done.err
        assert len(server.requests) == 3
    gone = falcon(*words, "--server", "nonsense", "--model", "some/model")
    assert (gone.code, "policy.server" in gone.err) == (2, True)


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_key_is_named_and_never_shown(
    command: str, here: Path, falcon: Falcon, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = json.dumps(PROBLEM | {"split": "test"})
    (here / "data" / "problems.jsonl").write_text(problem + "\n")
    what = "builtin" if command == "evaluate" else "Double a number."
    words = (command, what, "--model", "some/model", "--set", "policy.key_env=SERVER_KEY")
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    with chat_server(say) as server:
        done = falcon(*words, "--server", server.url)
        assert done.code == 0, done.err
        assert set(server.keys) == {"Bearer s3cret"}
    files = [f for f in (here / "state").rglob("*") if f.is_file()]
    assert not any(b"s3cret" in f.read_bytes() for f in files)
    assert "s3cret" not in done.out + done.err
    monkeypatch.delenv("SERVER_KEY")
    assert "SERVER_KEY is not set" in falcon(*words, "--server", server.url, "--set", "seed=7").err
