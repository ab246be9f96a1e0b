"""Monitor: where long work reports its progress and its metrics.

The library uses the protocol alone. Here are a silent monitor, one for a terminal or a log, and one
that relays to the process that started this one; those of a tracker are in ``tasks/``.
"""

from falcon.monitor.console import ConsoleMonitor
from falcon.monitor.moving_mean import MovingMean, Recent
from falcon.monitor.protocol import Advance, Monitor, SilentMonitor
from falcon.monitor.relay import RelayMonitor

__all__ = [
    "Advance",
    "ConsoleMonitor",
    "Monitor",
    "MovingMean",
    "Recent",
    "RelayMonitor",
    "SilentMonitor",
]
