"""Sandboxes shared by the tests of this folder: starting one costs tenths of a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from falcon.config import SandboxSettings
from falcon.sandbox import Sandbox


def small(**changed: object) -> SandboxSettings:
    """Limits that keep the tests short."""
    base = {
        "workers": 3,
        "cpu_seconds": 0.5,
        "total_cpu_seconds": 3.0,
        "output_kib": 256,
        "memory_mib": 128,
    }
    return SandboxSettings.model_validate(base | changed)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """At the machine's best level."""
    with Sandbox(small()) as running:
        yield running
