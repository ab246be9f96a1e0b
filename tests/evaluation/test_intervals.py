from __future__ import annotations

import itertools

import numpy as np
import pytest

from falcon.evaluation.intervals import bootstrap, mcnemar, paired_bootstrap, wilson


def test_wilson_by_hand() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20.
    found = wilson(81, 263)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.30798, 0.2553, 0.3662), abs=1e-4
    )
    nothing = wilson(0, 20)
    assert (nothing.low, nothing.high) == (0.0, pytest.approx(0.1611, abs=1e-4))
    assert wilson(20, 20).low == pytest.approx(1 - nothing.high)
    assert wilson(20, 20).high == 1.0


def test_wilson_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.8):
        intervals = [wilson(int(c), 60) for c in rng.binomial(60, share, size=3000)]
        covered = np.mean([i.low <= share <= i.high for i in intervals])
        assert 0.92 < covered < 0.985


def test_wilson_widens_with_confidence_and_narrows_with_trials() -> None:
    def width(c: int, n: int, confidence: float) -> float:
        found = wilson(c, n, confidence=confidence)
        return found.high - found.low

    assert width(5, 20, 0.99) > width(5, 20, 0.95) > width(50, 200, 0.95)


def test_bootstrap_of_two_values_by_hand() -> None:
    # Of 4 equally likely resamples of (0, 1), means are 0, 1/2, 1/2, 1.
    found = bootstrap([0.0, 1.0], seed=3)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
    narrow = bootstrap([0.0, 1.0], confidence=0.4, seed=3)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_bootstrap_agrees_with_the_normal_interval_of_a_large_sample() -> None:
    values = np.random.default_rng(1).normal(2.0, 3.0, size=2000)
    found = bootstrap(values, seed=5)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.015)
    assert found.high == pytest.approx(values.mean() + half, abs=0.015)


def test_bootstrap_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    samples = rng.normal(0.0, 1.0, size=(400, 50))
    found = [bootstrap(v, seed=i, resamples=400) for i, v in enumerate(samples)]
    assert 0.90 < np.mean([i.low <= 0.0 <= i.high for i in found]) < 0.98


def test_bootstrap_depends_on_the_seed_alone() -> None:
    values = np.random.default_rng(4).normal(size=30)
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_pairing_takes_the_spread_of_problems_out() -> None:
    easy = np.linspace(0.0, 1.0, 40)
    found = paired_bootstrap(easy + 0.1, easy)
    assert found.value == pytest.approx(0.1)
    assert found.high - found.low < 1e-9
    alone = bootstrap(easy)
    assert alone.high - alone.low > 0.1


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, float("nan")]])
def test_bootstrap_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="interval"):
        bootstrap(values)


def test_unequal_lengths_are_not_paired() -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_bootstrap([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="proportion"):
        wilson(successes, trials)


def test_mcnemar_counts_the_throws_of_a_coin() -> None:
    for wins, losses in [(0, 0), (1, 0), (0, 4), (3, 3), (7, 2), (5, 6)]:
        n = wins + losses
        # As unlikely or more: as far from the middle or farther.
        throws = [abs(2 * sum(t) - n) for t in itertools.product((0, 1), repeat=n)]
        expected = np.mean([d >= abs(wins - losses) for d in throws])
        assert mcnemar(wins, losses) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_is_symmetric_and_holds_for_large_counts() -> None:
    assert mcnemar(700, 600) == mcnemar(600, 700)
    assert 0 < mcnemar(700, 10) < 1e-150
    with pytest.raises(ValueError, match="counts"):
        mcnemar(-1, 2)
