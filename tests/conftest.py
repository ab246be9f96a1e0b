"""Order of the tests, and which of them `make test` runs.

Files that take minutes come first, so that no worker ends alone with one. The faults of
`tests/ops` take as long as all the rest: they run when they are asked for (`make test-ops`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

OPS = Path(__file__).parent / "ops"

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


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = (Path(str(each).split("::")[0]).resolve() for each in config.args)
    if collection_path == OPS and not any(each.is_relative_to(OPS) for each in asked):
        return True
    return None
