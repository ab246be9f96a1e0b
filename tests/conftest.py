"""Order of the tests: files that take minutes come first, so that no worker ends alone with one."""

from __future__ import annotations

import pytest

LONG = (
    "test_whole_flow.py",
    "test_sandbox_fuzz.py",
    "test_stages_dvc.py",
    "test_backbone.py",
    "test_humaneval_grader.py",
    "test_offline.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))
