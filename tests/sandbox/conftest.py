"""Sandboxes shared by the tests of this folder: starting one costs tenths of a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from limits import small

from falcon.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """At the machine's best level."""
    with Sandbox(small()) as running:
        yield running
