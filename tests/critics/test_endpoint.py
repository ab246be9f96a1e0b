"""The endpoint critic against a real server on loopback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from critics.chat_server import answer, chat_server

from falcon.config import CriticSettings
from falcon.critics import EndpointCritic, RecordedCritic
from falcon.errors import CriticFault, UserError

ASKED = [("be fair", "one"), ("", "two"), ("be fair", "one")]


def settings(url: str, **changed: Any) -> CriticSettings:
    quick = {"requests_per_minute": 60_000, "timeout_s": 5, "retries": 2}
    return CriticSettings.model_validate({"model": "m", "url": url} | quick | changed)


def test_equal_questions_are_asked_once_and_never_again(tmp_path: Path) -> None:
    with chat_server(lambda n, body: answer(body["messages"][-1]["content"].upper())) as server:
        critic = EndpointCritic(settings(server.url, price_in=1000, price_out=2000), tmp_path)
        assert critic.ask(ASKED) == ["ONE", "TWO", "ONE"]
        assert len(server.requests) == 2
        assert sorted(len(r["messages"]) for r in server.requests) == [1, 2]
        assert all(r["temperature"] == 0 and r["model"] == "m" for r in server.requests)
        again = EndpointCritic(settings(server.url), tmp_path)
        assert again.ask(ASKED) == ["ONE", "TWO", "ONE"]
        assert len(server.requests) == 2
    used = critic.usage
    assert (used.asked, used.reused, used.faults) == (2, 1, 0)
    assert (used.prompt_tokens, used.completion_tokens) == (200, 20)
    assert used.cost == pytest.approx(1e-6 * (200 * 1000 + 20 * 2000))
    assert (again.usage.asked, again.usage.reused) == (0, 3)
    recorded = RecordedCritic(tmp_path / "answers.jsonl")
    assert recorded.ask(ASKED) == ["ONE", "TWO", "ONE"]
    assert recorded.version.startswith("api:m/")


def test_a_busy_server_is_asked_again_when_it_says(tmp_path: Path) -> None:
    busy = (429, {"Retry-After": "0.4"}, {"error": {"message": "slow down"}})

    with chat_server(lambda n, body: busy if n == 0 else answer("yes")) as server:
        assert EndpointCritic(settings(server.url), tmp_path).ask([("", "q")]) == ["yes"]
        assert len(server.requests) == 2
        assert server.times[1] - server.times[0] >= 0.4


@pytest.mark.parametrize(
    "reply",
    [
        (500, {"Retry-After": "0.01"}, "no"),
        (401, {}, {"error": {"message": "bad key"}}),
        (200, {}, "<html>"),
        (200, {}, {"choices": []}),
        (200, {}, [1, 2]),
        answer(None),
        answer(""),
    ],
    ids=["500", "401", "html", "no choice", "list", "null", "empty"],
)
def test_what_is_no_answer_is_a_fault_and_is_not_kept(tmp_path: Path, reply: Any) -> None:
    with chat_server(lambda n, body: reply) as server:
        critic = EndpointCritic(settings(server.url, retries=1), tmp_path)
        (got,) = critic.ask([("", "q")])
        assert isinstance(got, CriticFault)
        assert len(server.requests) == (2 if reply[0] == 500 else 1)
    assert critic.usage.faults == 1
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_server_that_hangs_or_is_gone_is_a_fault(tmp_path: Path) -> None:
    def late(n: int, body: dict[str, Any]) -> Any:
        time.sleep(0.6)
        return answer("late")

    with chat_server(late) as server:
        critic = EndpointCritic(settings(server.url, timeout_s=0.2, retries=0), tmp_path)
        (got,) = critic.ask([("", "q")])
        assert isinstance(got, CriticFault)
        assert "Timeout" in str(got)
    (got,) = EndpointCritic(settings(server.url, retries=0), tmp_path).ask([("", "q")])
    assert isinstance(got, CriticFault)
    assert server.url in str(got)


def test_requests_are_spread_over_the_minute(tmp_path: Path) -> None:
    with chat_server(lambda n, body: answer("ok")) as server:
        critic = EndpointCritic(settings(server.url, requests_per_minute=600), tmp_path)
        critic.ask([("", str(n)) for n in range(4)])
        assert max(server.times) - min(server.times) >= 0.25


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "s3cret")
    with chat_server(lambda n, body: answer("ok")) as server:
        critic = EndpointCritic(settings(server.url, key_env="JUDGE_KEY"), tmp_path)
        critic.ask([("", "q")])
        assert server.keys == ["Bearer s3cret"]
    assert "s3cret" not in repr(critic.settings) + "".join(capfd.readouterr())
    assert all("s3cret" not in f.read_text() for f in tmp_path.iterdir())
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(UserError, match="JUDGE_KEY is not set"):
        EndpointCritic(settings(server.url, key_env="JUDGE_KEY"), tmp_path)


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    with chat_server(lambda n, body: answer("ok")) as server:
        EndpointCritic(settings(server.url), tmp_path).ask([("", "a"), ("", "b")])
        file = tmp_path / "answers.jsonl"
        file.write_bytes(file.read_bytes()[:-5])
        EndpointCritic(settings(server.url), tmp_path).ask([("", "a"), ("", "b")])
        assert len(server.requests) == 3
    assert RecordedCritic(file).ask([("", "a"), ("", "b")]) == ["ok", "ok"]
