"""Who may import whom in the sandbox, by folder, and what a program finds of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import one
from limits import small

import falcon.sandbox
from falcon.sandbox import Program, Sandbox

ROOT = Path(falcon.sandbox.__file__).parent
MAY_IMPORT = {
    "wire": {"wire"},
    "confined": {"confined", "wire"},
    "worker": {"worker", "wire"},
}
FILES = [(folder, file) for folder in MAY_IMPORT for file in sorted((ROOT / folder).rglob("*.py"))]


def imported(file: Path) -> Iterator[tuple[str, ...]]:
    """Modules that a file imports anywhere in it, as parts of their full names."""
    package = ("falcon", "sandbox", *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            named = (*base, *(node.module.split(".") if node.module else ()))
            # `from .. import x` names the module x.
            yield from ((*named, alias.name) if node.level else named for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "file"), FILES, ids=lambda x: x if isinstance(x, str) else x.name
)
def test_a_process_imports_its_own_folder_wire_and_the_standard_library(
    folder: str, file: Path
) -> None:
    for module in imported(file):
        if module[:2] == ("falcon", "sandbox"):
            assert module[2] in MAY_IMPORT[folder], module
        else:
            assert module[0] in sys.stdlib_module_names, module


def test_the_trainer_imports_neither_side() -> None:
    for file in ROOT.glob("*.py"):
        for module in imported(file):
            assert module[:3] not in {
                ("falcon", "sandbox", "worker"),
                ("falcon", "sandbox", "confined"),
            }


@pytest.mark.parametrize("level", ["L3", "L2", "L1"])
def test_a_program_finds_nothing_of_the_trusted_side(level: str) -> None:
    found = (
        "import sys\n"
        "def f():\n"
        "    for name in ('falcon', 'falcon.suite', 'falcon_sandbox.worker', 'falcon_sandbox.pool'):\n"
        "        try: __import__(name)\n"
        "        except ModuleNotFoundError: pass\n"
        "        else: return name\n"
        "    ours = {'.'.join(m.split('.')[:2]) for m in sys.modules if m.startswith('falcon')}\n"
        "    return sorted(ours)\n"
    )
    want = ["falcon_sandbox", "falcon_sandbox.confined", "falcon_sandbox.wire"]
    with Sandbox(small(workers=1), level=level) as sandbox:
        verdict = sandbox.judge(Program(found, one(want)))
    assert verdict.passed, verdict
