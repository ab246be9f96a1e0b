"""Limits that keep runs in these tests short."""

from __future__ import annotations

from falcon.config import SandboxSettings


def small() -> SandboxSettings:
    return SandboxSettings.model_validate({"workers": 1, "cpu_seconds": 1.0})
