"""Samples: tables of judged programs, one row a program."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TIMES = ("cpu_s", "wall_s")
"""Columns that differ from run to run whatever was done; kept out of DVC's outputs."""


def without_times(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without ``TIMES``."""
    return frame.drop(columns=[column for column in TIMES if column in frame])


def verdict_mix(frame: pd.DataFrame) -> dict[str, float]:
    """Shares ``outcome/OUTCOME``, and pass, fault and tamper rates (NaN where there is no row)."""
    tripped = frame["tripped"].map(bool) if "tripped" in frame else frame["outcome"] == ""
    rates = {
        "pass_rate": frame["outcome"] == "pass",
        "fault_rate": frame["outcome"] == "sandbox_error",
        "tamper_rate": tripped,
    }
    counts = frame["outcome"].value_counts()
    return {
        **{f"outcome/{outcome}": count / len(frame) for outcome, count in counts.items()},
        **{name: float(rows.mean()) if len(frame) else math.nan for name, rows in rates.items()},
    }
