"""Servers that are busy, wrong, short of samples or gone; and what each kind is asked."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from critics.chat_server import answer, chat_server, continuation

from falcon.errors import UserError
from falcon.generation.completion import Completion, Draws, Sampling
from falcon.generation.connection import Connection
from falcon.generation.server import ServerGenerator
from falcon.policy.policy import Policy
from falcon.prompts.characters import Characters
from falcon.prompts.encode import PromptEncoder
from falcon.prompts.forms import FORMS

DRAWN = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=16, batch_size=4)
PROMPTS = [[ord(c) for c in text] for text in ("one", "two")]


def generator(url: str, *, key_env: str = "", retries: int = 2) -> ServerGenerator:
    prompts = PromptEncoder(Characters(), FORMS["chat-open"], 1000)
    return ServerGenerator(Connection(url, key_env, retries), "m", prompts)


def said(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def test_samples_are_in_order_however_answers_come() -> None:
    def late(n: int, body: dict[str, Any]) -> Any:
        time.sleep(0.1 * (n % 3 == 0))
        return answer(f"{said(body)} {body['seed']}")

    with chat_server(late) as server:
        groups = generator(server.url).generate(PROMPTS, Draws(DRAWN, 4, 7))
        again = generator(server.url).generate(PROMPTS[1:], Draws(DRAWN, 2, 7, streams=[1]))
    assert [[c.text.split()[0] for c in group] for group in groups] == [["one"] * 4, ["two"] * 4]
    seeds = [c.text.split()[1] for group in groups for c in group]
    assert len(set(seeds)) == 8
    assert [c.text for c in again[0]] == [c.text for c in groups[1][:2]]
    assert all(0 <= int(seed) < 2**31 for seed in seeds)


def test_no_more_requests_are_open_than_rows_go_together() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slow(n: int, body: dict[str, Any]) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return answer("ok")

    with chat_server(slow) as server:
        generator(server.url).generate(PROMPTS, Draws(DRAWN, 6))
    assert most == DRAWN.batch_size


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    busy = (503, {"Retry-After": "0.4"}, {"error": {"message": "slow down"}})
    with chat_server(lambda n, body: busy if n == 0 else answer("yes")) as server:
        ((found,),) = generator(server.url).generate(PROMPTS[:1], Draws(DRAWN))
        assert found.text == "yes"
        assert server.times[1] - server.times[0] >= 0.4


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((200, {}, {"choices": []}), "without a choice"),
        ((200, {}, [1, 2]), "without a choice"),
        ((200, {}, "<html>"), "without a choice"),
        (answer(None), "ended by `stop`"),
        ((200, {}, {"choices": [{"text": "", "finish_reason": "stop"}]}), "an empty answer"),
        (continuation("x", "content_filter"), "ended by `content_filter`"),
        ((429, {"Retry-After": "0.01"}, {"error": {"message": "slow down"}}), "429"),
        ((500, {"Retry-After": "0.01"}, "no"), "500"),
    ],
    ids=["no choice", "list", "html", "null", "empty", "filtered", "429", "500"],
)
def test_a_shortfall_is_made_up_or_said(reply: Any, why: str) -> None:
    with chat_server(lambda n, body: reply if n < 2 else answer("yes")) as server:
        groups = generator(server.url).generate(PROMPTS, Draws(DRAWN, 2))
        assert [c.text for group in groups for c in group] == ["yes"] * 4
        assert len(server.requests) == 6

    def never_two(n: int, body: dict[str, Any]) -> Any:
        return answer("yes") if said(body) == "one" else reply

    one_at_a_time = Sampling(0.8, 0.9, 16, 1)
    with (
        chat_server(never_two) as server,
        pytest.raises(UserError, match=f"2 of 4 samples are missing: .*{why}"),
    ):
        generator(server.url).generate(PROMPTS, Draws(one_at_a_time, 2))


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_what_the_server_refuses_is_said_at_once(status: int) -> None:
    refusal = (status, {}, {"error": {"message": "no such model"}})
    with chat_server(lambda n, body: refusal) as server:
        with pytest.raises(UserError, match="no such model"):
            generator(server.url).generate(PROMPTS, Draws(Sampling(0.8, 0.9, 16, 1), 50))
        assert len(server.requests) <= 2


def test_a_server_that_is_not_there_or_goes_is_said() -> None:
    with chat_server(lambda n, body: answer("ok")) as server:
        made = generator(server.url, retries=0)
    with pytest.raises(UserError, match="4 of 4 samples are missing"):
        made.generate(PROMPTS, Draws(DRAWN, 2))
    with pytest.raises(UserError, match="no server answers"):
        generator(server.url, retries=0)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    with chat_server(lambda n, body: (401, {}, {"error": {"message": "bad key"}})) as server:
        made = generator(server.url, key_env="SERVER_KEY")
        with pytest.raises(UserError) as told:
            made.generate(PROMPTS[:1], Draws(DRAWN))
        assert server.keys == ["Bearer s3cret"]
    assert "s3cret" not in f"{told.value}{told.value.hint}"
    monkeypatch.delenv("SERVER_KEY")
    with pytest.raises(UserError, match="SERVER_KEY is not set"):
        generator(server.url, key_env="SERVER_KEY")


def write(policy: Policy, owner: str, reply: Any, draws: Draws) -> tuple[Completion, Any]:
    """One completion by a server of a kind, and what it was asked."""
    with chat_server(lambda n, body: reply, owner) as server:
        made = ServerGenerator(Connection(server.url, retries=1), "m", policy.prompts)
        ((found,),) = made.generate([policy.encode("def add(a, b):\n")], draws)
        assert server.paths == ["/v1/completions"]
        return found, server.requests[0]


def test_each_kind_is_asked_in_its_own_words(chat: Policy) -> None:
    stops = tuple("abcdef")
    sampling = Sampling(0.8, 0.9, 16, 4, stops)
    ids = chat.encode("def add(a, b):\n")
    asked = {
        owner: write(chat, owner, continuation("x"), Draws(sampling))[1]
        for owner in ("vllm", "sglang", "llamacpp", "somebody")
    }
    for body in asked.values():
        assert body["model"] == "m"
        assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.8, 0.9, 16)
    # The model's own rules (top-k, repetition penalty) are off, and stop texts are kept.
    assert (
        asked["vllm"]["prompt"] == asked["sglang"]["prompt"] == asked["llamacpp"]["prompt"] == ids
    )
    assert asked["vllm"]["repetition_penalty"] == asked["sglang"]["repetition_penalty"] == 1
    assert asked["llamacpp"]["repeat_penalty"] == 1
    assert (asked["vllm"]["top_k"], asked["llamacpp"]["top_k"]) == (-1, 0)
    assert asked["vllm"]["include_stop_str_in_output"]
    assert asked["sglang"]["no_stop_trim"]
    assert asked["vllm"]["stop"] == list(stops)
    # Of an unknown kind: the interface's fields alone, and not more stops than it allows.
    known = {"model", "prompt", "temperature", "top_p", "max_tokens", "seed", "stop"}
    assert set(asked["somebody"]) == known
    assert asked["somebody"]["prompt"] == "def add(a, b):\n"
    assert asked["somebody"]["stop"] == list(stops[:4])


def test_log_probabilities_are_kept_where_they_are_of_the_model_alone(chat: Policy) -> None:
    ids = chat.encode("return a")
    more = {"token_ids": ids, "logprobs": {"token_logprobs": [-0.5] * len(ids)}}
    reply = continuation("return a", "length", **more)
    plain, drawn = Sampling(1.0, 1.0, 16, 4), Sampling(0.8, 0.9, 16, 4)
    for owner, sampling, kept in (
        ("vllm", drawn, True),
        ("sglang", drawn, False),
        ("sglang", plain, True),
    ):
        found, body = write(chat, owner, reply, Draws(sampling, log_probs=True))
        assert body["logprobs"] == 1
        assert found.ids == tuple(ids)
        assert found.log_probs == ((-0.5,) * len(ids) if kept else ())
    short = continuation("return a", "length", token_ids=ids, logprobs={"token_logprobs": [-0.5]})
    assert write(chat, "vllm", short, Draws(plain, log_probs=True))[0].log_probs == ()


def test_the_end_token_is_no_part_of_the_ids(chat: Policy) -> None:
    ids, end = chat.encode("return a"), min(chat.end_ids)
    reply = continuation("return a<|im_end|>", token_ids=[*ids, end], stop_reason=None)
    found, _ = write(chat, "vllm", reply, Draws(DRAWN))
    assert (found.ids, found.end, found.end_id, found.text) == (tuple(ids), "end", end, "return a")
    reply = continuation("return", token_ids=ids[:1], stop_reason="turn")
    stopped, _ = write(chat, "vllm", reply, Draws(DRAWN))
    assert (stopped.end, stopped.end_id) == ("stop", None)
    alone, _ = write(chat, "somebody", continuation("return a"), Draws(DRAWN))
    assert (alone.ids, alone.end, alone.end_id) == (tuple(ids), "end", chat.tokenizer.eos_token_id)


def test_a_stop_text_that_was_cut_off_leaves_the_same_program() -> None:
    from tests.evaluation.conftest import RIGHT, make_problem

    problem = make_problem("double", 2)
    chat, continued = FORMS["chat"], FORMS["few-shot"]
    kept = [f"{RIGHT}\n```", f"{RIGHT}\n```\n"]  # by token, as in this process
    programs = {chat.extract(text, problem).program.rstrip() for text in (*kept, RIGHT)}
    assert programs == {RIGHT}
    documented = [f"{RIGHT}\nprint", f"{RIGHT}\nprint('", RIGHT]
    programs = {continued.extract(text, problem).program.rstrip() for text in documented}
    assert len(programs) == 1
