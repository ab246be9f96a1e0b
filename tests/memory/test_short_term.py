from __future__ import annotations

import json

import numpy as np
import pytest

from falcon.memory import ShortTermMemory
from falcon.sandbox.verdict import Outcome


def steps(experiences) -> list[int]:
    return [e.origin.step for e in experiences]


def filled(make, cap: int = 6, n: int = 10) -> ShortTermMemory:
    memory = ShortTermMemory(cap)
    memory.record(make(i, problem=f"p/{'ab'[i % 2]}") for i in range(n))
    return memory


def test_the_oldest_are_dropped_first(make) -> None:
    memory = filled(make)
    assert steps(memory) == [4, 5, 6, 7, 8, 9]
    assert steps(memory.group("p/a")) == [4, 6, 8]
    memory.record([make(10, problem="p/b")] * 6)
    assert (len(memory), memory.problems(), memory.group("p/a")) == (6, ["p/b"], [])


def test_repetitions_count(make) -> None:
    memory = ShortTermMemory(10)
    broken = make(1, problem="p", outcome=Outcome.RUNTIME_ERROR, error="name")
    other = make(2, problem="q", outcome=Outcome.RUNTIME_ERROR, error="type")
    memory.record([broken, broken, make(3, problem="p"), other])
    assert memory.error_counts("p") == {"name": 2}
    assert memory.error_counts("absent") == {}


def test_errors_that_left_are_not_counted(make) -> None:
    memory = ShortTermMemory(2)
    memory.record([make(1, problem="p", outcome=Outcome.TIMEOUT, error="timeout")])
    memory.record([make(2, problem="p"), make(3, problem="p")])
    assert memory.error_counts("p") == {}


def test_sampling_is_deterministic_and_by_problem(make) -> None:
    memory = filled(make)
    first = memory.draw(np.random.default_rng(1), 3)
    assert first == filled(make).draw(np.random.default_rng(1), 3)
    assert len(set(first)) == 3
    assert sorted(memory.draw(np.random.default_rng(0), 99)) == [-6, -5, -4, -3, -2, -1]
    assert sorted(memory.draw(np.random.default_rng(0), 9, "p/b")) == [-3, -2, -1]
    assert memory.draw(np.random.default_rng(0), 3, "absent") == []


def test_places_hold_in_a_list_of_all_that_was_recorded(make) -> None:
    memory = filled(make)  # 1 and 3 left it at the cap
    places = memory.draw(np.random.default_rng(0), 2, "p/b")
    assert len(places) == 2
    assert [[1, 3, 5, 7, 9][p] for p in places] == steps(memory.group("p/b")[p] for p in places)


def test_state_goes_through_json_and_goes_on_alike(make) -> None:
    memory = filled(make)
    restored = ShortTermMemory(6)
    restored.record([make(77)])
    restored.load_state_dict(json.loads(json.dumps(memory.state_dict())))
    assert list(restored) == list(memory)
    for each in (memory, restored):
        each.record([make(20, problem="p/a"), make(21, problem="p/c")])
    assert list(restored) == list(memory)
    assert restored.group("p/a") == memory.group("p/a")
    assert restored.draw(np.random.default_rng(5), 4) == memory.draw(np.random.default_rng(5), 4)


def test_a_malformed_state_changes_nothing(make) -> None:
    memory = filled(make)
    with pytest.raises(ValueError):
        memory.load_state_dict({"experiences": [{"problem_id": "x"}]})
    assert len(memory) == 6


def test_clear_and_cap(make) -> None:
    memory = filled(make)
    memory.clear()
    assert (len(memory), memory.problems(), memory.group("p/a")) == (0, [], [])
    with pytest.raises(ValueError, match="cap"):
        ShortTermMemory(0)
