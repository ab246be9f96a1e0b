"""Limits that keep the sandbox's tests short."""

from __future__ import annotations

from falcon.config import MachineSettings, Settings


def small(**changed: object) -> Settings:
    """Limits that keep the tests short."""
    base: dict[str, object] = {
        "workers": 3,
        "cache": False,
        "cpu_seconds": 0.6,
        "total_cpu_seconds": 3.0,
        "output_kib": 256,
        "memory_mib": 64,
    }
    tree: dict[str, dict[str, object]] = {"machine": {}, "sandbox": {}}
    for key, value in (base | changed).items():
        tree["machine" if key in MachineSettings.model_fields else "sandbox"][key] = value
    return Settings.model_validate(tree)
