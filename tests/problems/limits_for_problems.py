"""Limits that keep runs in these tests short."""

from __future__ import annotations

from falcon.config import Settings


def small() -> Settings:
    machine = {"workers": 1, "cache": False}
    return Settings.model_validate({"machine": machine, "sandbox": {"cpu_seconds": 1.0}})
