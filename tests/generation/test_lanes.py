"""Several lanes write what one lane writes, in order, and end together when one fails."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from falcon.errors import UserError
from falcon.generation import local, processes
from falcon.generation.completion import Completion, Draws, Sampling, Weights
from falcon.generation.generator import Listener
from falcon.generation.lane import Lane, Portion
from falcon.generation.local import LocalGenerator, shares
from falcon.policy.lanes import Layout, layout_for, threads_of
from falcon.policy.policy import Policy
from tests.models import own_weights

DRAWN = Sampling(1.0, 0.95, 24, 6)
TEXTS = ("def add(a, b):\n", "if x", "print('yes')\n", "return total + ", "for x in xs:\n    ")


@pytest.fixture(params=[2, 7])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(local, "layout_for", lambda *_: Layout(request.param, 1))
    return int(request.param)


@pytest.fixture(params=["processes", "threads"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(local, "_forks", request.param == "processes")
    return str(request.param)


def at_work() -> list[object]:
    """Lanes that are there."""
    threads = [each for each in threading.enumerate() if each.name.startswith("lane")]
    return [*threads, *psutil.Process().children()]


def written(
    policy: Policy, samples: int, listener: Listener, weights: Weights
) -> list[list[Completion]]:
    prompts = [policy.encode(text) for text in TEXTS]
    draws = Draws(DRAWN, samples, 7)
    return LocalGenerator(policy).generate(prompts, draws, weights=weights, listener=listener)


@pytest.mark.parametrize("samples", [1, 9])
@pytest.mark.parametrize("stacked", [False, True])
def test_lanes_write_what_one_lane_writes(
    policy: Policy,
    samples: int,
    stacked: bool,
    lanes: int,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = Weights(own_weights(policy, 5)) if stacked else Weights()
    run = Lane.run

    def counted(lane: Lane, *given: Any) -> None:
        with open(tmp_path / "lanes", "a", encoding="ascii") as file:  # read by another process
            file.write(f"{os.getpid()} {id(lane)}\n")
        run(lane, *given)

    monkeypatch.setattr(Lane, "run", counted)
    heard: dict[tuple[int, int], Completion] = {}

    def hear(prompt: int, sample: int, completion: Completion) -> None:
        heard[prompt, sample] = completion

    found = written(policy, samples, Listener(on_completion=hear), weights)
    begun = [line.split() for line in (tmp_path / "lanes").read_text().splitlines()]
    assert len(begun) == len({lane for _, lane in begun}) == min(lanes, 5 * samples)
    assert len({process for process, _ in begun}) == (len(begun) if kind == "processes" else 1)
    assert not at_work()
    assert heard == {(i, k): c for i, group in enumerate(found) for k, c in enumerate(group)}
    monkeypatch.setattr(local, "layout_for", lambda *_: Layout(1, 1))
    assert found == written(policy, samples, Listener(), weights)


def test_work_is_dealt_out_evenly() -> None:
    portions = [Portion(i, [0] * (5 + 7 * i), range(4)) for i in range(13)]
    for lanes in (1, 2, 3, 5, 13, 60):
        dealt = shares(portions, lanes)
        rows = [sum(len(p.samples) for p in share) for share in dealt]
        assert sum(rows) == 52
        assert max(rows) - min(rows) <= 4
        found = sorted((p.place, s) for share in dealt for p in share for s in p.samples)
        assert found == [(i, s) for i in range(13) for s in range(4)]
    # Some prompts get long answers: many samples of one are written by all lanes.
    many = shares([Portion(0, [0], range(21)), *portions], 2)
    assert [sum(len(p.samples) for p in share if not p.place) for share in many] == [12, 13]
    # The longest prompts do not all go to one lane.
    tokens = [sum(len(p.ids) for p in share) for share in shares(portions[1:], 2)]
    assert max(tokens) < 1.1 * min(tokens)


def test_one_lane_that_fails_ends_all(policy: Policy, lanes: int) -> None:
    with torch.no_grad():
        policy.bank.a[0].fill_(float("nan"))
    with pytest.raises(UserError, match="NaN or infinite logits"):
        written(policy, 4, Listener(), Weights())
    assert not at_work()


def test_an_interrupt_ends_all_lanes_soon(policy: Policy, lanes: int) -> None:
    drawn = 0

    def interrupt(tokens: int) -> None:
        nonlocal drawn
        drawn += tokens
        if drawn > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(policy, 40, Listener(on_tokens=interrupt), Weights())
    assert not at_work()
    assert drawn < 200  # of some 4,000


def test_a_process_that_is_killed_is_said(policy: Policy, lanes: int, kind: str) -> None:
    if kind != "processes":
        pytest.skip("threads are not killed")

    def kill(_: int, __: int, ___: Completion) -> None:
        children = psutil.Process().children()
        if len(children) == lanes:
            children[0].send_signal(signal.SIGKILL)

    with pytest.raises(UserError, match=r"ended by signal 9.*batch_size"):
        written(policy, 40, Listener(on_completion=kill), Weights())
    assert not at_work()


def test_where_processes_do_not_begin_lanes_are_threads(
    causal: Policy, lanes: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "processes":
        pytest.skip("they are threads already")
    before = written(causal, 4, Listener(), Weights())
    monkeypatch.setattr(processes, "BEGIN_S", 0.3)
    monkeypatch.setattr(Policy, "decode", lambda *_: time.sleep(60))  # a lock that is never free
    with monkeypatch.context() as patched:
        patched.setattr(local, "in_lanes", lambda *_, **__: iter(()))
        written(causal, 4, Listener(), Weights())
    assert not local._forks
    monkeypatch.undo()
    assert not at_work()
    assert before == written(causal, 4, Listener(), Weights())


def test_a_division_into_lanes_is_chosen_once_and_changes_no_setting(causal: Policy) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        first = layout_for(causal, 16)
        assert first == layout_for(causal, 16)
        assert first.lanes * first.threads <= 2
        assert layout_for(causal, 1).lanes == 1
        with threads_of(Layout(2, 1)):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_first_tokens_are_drawn_as_the_library_would(causal: Policy) -> None:
    """5,000 draws beside the probabilities of a plain pass, cut to the nucleus: chi-square."""
    from scipy.stats import chisquare

    prompt = causal.encode("def add(a, b):\n")
    with torch.inference_mode(), causal.bank.use(causal.bank.meta()):
        logits = causal.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    p = torch.softmax(logits / 0.9, -1)
    order = p.argsort(descending=True)
    kept = order[: int((p[order].cumsum(0) - p[order] < 0.9).sum())]
    wanted = torch.zeros_like(p)
    wanted[kept] = p[kept] / p[kept].sum()
    sampling = Sampling(0.9, 0.9, 1, 512)
    (group,) = LocalGenerator(causal).generate([prompt], Draws(sampling, 5000, 3))
    tokens = [c.drawn[0] for c in group]
    found = torch.bincount(torch.tensor(tokens), minlength=len(p)).double()
    assert found[wanted == 0].sum() == 0
    inside = wanted > 0
    expected = wanted[inside].double() / wanted[inside].double().sum() * 5000
    assert chisquare(found[inside].numpy(), expected.numpy()).pvalue > 1e-3
