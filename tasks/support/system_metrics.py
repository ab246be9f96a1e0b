"""System metrics: what a run takes of its machine, as metrics of the run.

MLflow measures; its own thread writes past the queue and ends at the first outage, so we write.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

SYSTEM = "system/"
"""How the names of these metrics begin; MLflow shows them on a page of their own."""


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for accelerator in (GPUMonitor, ROCMMonitor):
        with suppress(Exception):  # there is none of this kind
            monitors.append(accelerator())
            break
    return monitors


@contextmanager
def sampled(
    log: Callable[[Mapping[str, float], int], None], step: int, interval: float
) -> Iterator[None]:
    """Give ``log`` figures every ``interval`` seconds and at the end, from step ``step`` on."""
    done = threading.Event()
    thread = threading.Thread(
        target=_sample, args=(log, step, interval, done), daemon=True, name="system-metrics"
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _sample(
    log: Callable[[Mapping[str, float], int], None],
    step: int,
    interval: float,
    done: threading.Event,
) -> None:
    monitors = _monitors()
    while True:
        last = done.wait(interval)
        figures: dict[str, float] = {}
        for monitor in monitors:
            with suppress(Exception):  # a device that has gone: the others go on
                monitor.collect_metrics()
                figures |= monitor.aggregate_metrics()
                monitor.clear_metrics()
        log({f"{SYSTEM}{name}": value for name, value in figures.items()}, step)
        if last:
            return
        step += 1
