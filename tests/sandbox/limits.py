"""Limits that keep the sandbox's tests short."""

from __future__ import annotations

from falcon.config import SandboxSettings


def small(**changed: object) -> SandboxSettings:
    """Limits that keep the tests short."""
    base = {
        "workers": 3,
        "cpu_seconds": 0.6,
        "total_cpu_seconds": 3.0,
        "output_kib": 256,
        "memory_mib": 64,
    }
    return SandboxSettings.model_validate(base | changed)
