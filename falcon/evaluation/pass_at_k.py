"""pass@k: the chance that one of k samples solves a problem, estimated without bias from n.

The estimator of HumanEval (Chen et al. 2021, eq. 1).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

KS = (1, 2, 5, 10, 20, 50, 100)  # Values of k that are reported where there are as many samples


def pass_at_k(samples: ArrayLike, correct: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 - C(n - c, k) / C(n, k) for each problem, shape as the broadcast arguments.

    ``samples`` (n) and ``correct`` (c) are counts, one a problem. Raises ValueError when k is
    below 1 or above some n, and when some c is not within 0 to n.
    """
    n, c = (np.asarray(a, dtype=np.int64) for a in np.broadcast_arrays(samples, correct))
    if k < 1 or (n < k).any():
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} samples of every problem")
    if (c < 0).any() or (c > n).any():
        raise ValueError("a count of correct samples is not within 0 to the number of samples")
    # C(n-c, k) / C(n, k) as k factors: the binomials themselves overflow for n of some hundreds.
    # With fewer than k wrong samples one factor is exactly 0.
    missed: NDArray[Any] = np.ones(n.shape)  # [problems]: chance that all k are wrong
    for j in range(k):
        missed *= np.maximum(n - c - j, 0) / (n - j)
    return 1.0 - missed


def reported_ks(samples: int) -> tuple[int, ...]:
    """The values of k that are reported with that many samples of a problem."""
    return tuple(k for k in KS if k <= samples)
