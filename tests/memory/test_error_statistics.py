from __future__ import annotations

from pathlib import Path

import pytest

from falcon.config import Settings
from falcon.memory import LongTermMemory
from falcon.memory.error_statistics import ErrorStatistics
from falcon.sandbox.verdict import Outcome

TYPES = ("name", "type", "timeout")


def test_counts_by_type_line_and_problem() -> None:
    errors = ErrorStatistics(TYPES)
    for problem, kind, line in (
        ("a", "name", 2), ("a", "name", 2), ("a", "name", 5), ("b", "name", 2),
        ("b", "timeout", 0), ("a", "", 0),
    ):  # fmt: skip
        errors.add(problem, kind, line)
    assert errors.counts() == {"name": 4, "type": 0, "timeout": 1}
    assert errors.counts("a") == {"name": 3, "type": 0, "timeout": 0}
    assert errors.counts("absent") == dict.fromkeys(TYPES, 0)
    assert errors.located() == {"name": (4, {2: 3, 5: 1}), "timeout": (1, {0: 1})}
    assert errors.located("b") == {"name": (1, {2: 1}), "timeout": (1, {0: 1})}
    with pytest.raises(KeyError):
        errors.add("a", "unheard-of", 1)


def test_smoothing_and_forgetting_are_as_defined() -> None:
    smoothing, forgetting = 0.5, 0.9
    errors = ErrorStatistics(TYPES, smoothing=smoothing, forgetting=forgetting)
    kinds = ["name", "", "type", "name", "", ""]
    for kind in kinds:
        errors.add("p", kind, 1)
    weight = dict.fromkeys(TYPES, 0.0)
    for age, kind in enumerate(reversed(kinds)):
        if kind:
            weight[kind] += forgetting**age
    total = sum(weight.values()) + smoothing * len(TYPES)
    expected = {kind: (w + smoothing) / total for kind, w in weight.items()}
    assert errors.share() == pytest.approx(expected)
    assert sum(errors.share().values()) == pytest.approx(1)


def test_forgetting_holds_over_any_number_of_experiences() -> None:
    """Weights grow by 1 / factor each time and would leave the range of a float."""
    errors = ErrorStatistics(TYPES, forgetting=0.5)
    for _ in range(5000):
        errors.add("p", "name", 1)
    assert errors.share()["name"] == pytest.approx(3 / 5)  # weights 1 + 1/2 + 1/4 + ... = 2
    for _ in range(5000):
        errors.add("p", "", 0)
    assert errors.share() == pytest.approx(dict.fromkeys(TYPES, 1 / 3))


@pytest.mark.parametrize(("smoothing", "forgetting"), [(0, 1), (1, 0), (1, 1.1), (-1, 1)])
def test_settings_out_of_range_are_refused(smoothing: float, forgetting: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ErrorStatistics(TYPES, smoothing=smoothing, forgetting=forgetting)


def test_settings_reach_the_memory_and_reopening_counts_the_same(
    folder: Path, encoder, make
) -> None:
    settings = Settings().changed({"memory.smoothing": 2.0, "memory.forgetting": 0.5})
    experiences = [
        make(i, problem="p", outcome=Outcome.RUNTIME_ERROR, error=e, line=3)
        for i, e in enumerate(["name", "timeout", "timeout"])
    ]
    with LongTermMemory.open(folder, encoder, writable=True, settings=settings) as memory:
        memory.append(experiences)
        live = memory.error_share()
    with LongTermMemory.open(folder, encoder, settings=settings) as memory:
        assert memory.error_share() == live
        assert memory.located_errors("p")["timeout"] == (2, {3: 2})
        types = len(live)
    assert live["name"] == pytest.approx((0.25 + 2) / (1.75 + 2 * types))
    assert live["timeout"] == pytest.approx((1.5 + 2) / (1.75 + 2 * types))
