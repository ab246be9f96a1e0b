"""Lanes: how many threads work side by side, and how many cores each product gets.

A product of a few rows is done in a tenth of a millisecond. A team of threads meets at its end,
and where one of them has to wait for its core all wait with it: on a machine that does anything
else, two threads are then slower than one. So on a CPU rows are shared out to lanes, threads that
work each for itself. Which division is best is measured with the model's own products.
"""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import torch

if TYPE_CHECKING:
    from falcon.policy.policy import Policy

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("falcon.lanes")

_LAYERS = 12
"""Linear layers of the model that are tried: enough not to stay in the processor's caches."""
_BETTER = 1.5
"""Fewer lanes must be this much faster to be chosen: what lies between the products is divided by
lanes alone, and results depend on the division by rounding, so it should come out alike."""


@dataclass(frozen=True)
class Layout:
    """So many lanes, each with so many threads for one product."""

    lanes: int
    threads: int


@contextmanager
def threads_of(layout: Layout) -> Iterator[None]:
    """Products of this thread use the layout's number of threads."""
    before = torch.get_num_threads()
    if before == layout.threads:
        yield
        return
    torch.set_num_threads(layout.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_chosen: WeakKeyDictionary[Policy, dict[int, Layout]] = WeakKeyDictionary()
"""By number of lanes."""
_choosing = threading.Lock()


def layout_for(policy: Policy, rows: int) -> Layout:
    """The division of ``rows`` that decode together: measured once for each number of lanes."""
    cores = torch.get_num_threads()
    if policy.device.type != "cpu":
        return Layout(1, cores)
    lanes = max(1, min(cores, rows))
    with _choosing:
        own = _chosen.setdefault(policy, {})
        if lanes not in own:
            own[lanes] = _measured(policy, lanes, cores, rows)
        return own[lanes]


def _measured(policy: Policy, lanes: int, cores: int, rows: int) -> Layout:
    if cores == 1:
        return Layout(1, 1)
    counts = sorted({lanes, *(n for n in (1, 2, 4, 8, 16, 32) if n < lanes)}, reverse=True)
    # One row cannot be divided, but it need not have all cores.
    options = [Layout(n, max(1, cores // n)) for n in counts] + [Layout(1, 1)] * (lanes == 1)
    times = {layout: _time(policy, layout, rows) for layout in options}
    first = options[-1] if lanes == 1 else options[0]
    best = min(times, key=lambda layout: times[layout])
    chosen = best if times[best] * _BETTER < times[first] else first
    shown = ", ".join(
        f"{layout.lanes} x {layout.threads} {1000 * spent:.0f} ms"
        for layout, spent in times.items()
    )
    logger.info(
        "lanes x threads for %d rows: %d x %d (%s)", rows, chosen.lanes, chosen.threads, shown
    )
    return chosen


def _time(policy: Policy, layout: Layout, rows: int) -> float:
    """Seconds of the model's first products, for all rows."""
    layers = [m for m in policy.model.modules() if isinstance(m, torch.nn.Linear)][:_LAYERS]
    own = -(-rows // layout.lanes)

    @torch.inference_mode()
    def work(_: int) -> None:
        with threads_of(layout):
            given = {
                n: torch.zeros(own, n, dtype=layers[0].weight.dtype)
                for n in {layer.in_features for layer in layers}
            }
            for _ in range(4):
                for layer in layers:
                    torch.nn.functional.linear(given[layer.in_features], layer.weight)

    def once() -> float:
        since = time.perf_counter()
        if layout.lanes == 1:
            work(0)
        else:
            list(pool.map(work, range(layout.lanes)))
        return time.perf_counter() - since

    with ThreadPoolExecutor(layout.lanes) as pool:
        once()  # the library makes its code for these shapes
        return statistics.median(once() for _ in range(7))


def in_lanes(
    layout: Layout,
    work: Callable[[T], R],
    items: Sequence[T],
    stop: Callable[[], None] = lambda: None,
) -> Iterator[R]:
    """``work`` of each item, in order, as many at a time as there are lanes.

    A failure is raised in its place; what is not begun by then is not done. ``stop`` is called
    before it waits for what is, so that this can end at once.
    """

    def one(item: T) -> R:
        try:
            with threads_of(layout):
                return work(item)
        except BaseException:
            stop()
            raise

    lanes = min(layout.lanes, len(items))
    if lanes < 2:
        yield from map(one, items)
        return
    with ThreadPoolExecutor(lanes, thread_name_prefix="lane") as pool:
        futures = [pool.submit(one, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        except BaseException:  # Ctrl-C, say, in the thread that waits
            stop()
            raise
        finally:
            for future in futures:
                future.cancel()
