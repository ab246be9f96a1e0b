"""A registered version for the tests of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from registered_version import Registered, register

from falcon import env


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("MLFLOW_", "FALCON_"))]:
            patch.delenv(name)
        for name, value in env._FIXED.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A version in service that recalls into its prompts."""
    return register(tmp_path_factory.mktemp("registered") / "work")
