"""Stage code: the modules that make each stage's result, and a digest of each.

The DVC stage ``code`` writes them to ``outputs/code/STAGE.json``, which the stage depends on. So an
edit makes a stage stale exactly when the stage imports what was edited and the edit is no comment
or docstring. Imports are read from the source, those inside functions too; ``from PACKAGE import
NAME`` leads to the module that has the name.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.support.files import file_md5, read_json, write_json, write_text
from tasks.support.workspace import STAGES, Workspace

PACKAGES = ("falcon", "tasks")

NO_RESULT = {
    "falcon": "its version",
    "falcon.config": "describes settings; stages depend on their values in outputs/settings.yaml",
    "falcon.env": "says where things are",
    "falcon.errors": "says what is wrong",
    "falcon.evaluation.plots": "draws",
    "falcon.evaluation.report": "draws",
    "falcon.memory.plots": "draws",
    "falcon.memory.report": "draws",
    "falcon.monitor": "shows progress",
    "falcon.problems.overlap_report": "draws",
    "tasks.support.data_docs": "shows checks",
    "tasks.support.dvc": "starts DVC and reads its files",
    "tasks.support.errors": "says what is wrong",
    "tasks.support.lifetime": "ends processes",
    "tasks.support.mlflow_store": "records a run",
    "tasks.support.model_version": "records a model and gets its parts",
    "tasks.support.offline_queue": "records a run",
    "tasks.support.preflight": "says what is wrong",
    "tasks.support.processes": "starts processes",
    "tasks.support.provenance": "records a run",
    "tasks.support.run_lifecycle": "records a run",
    "tasks.support.stage_code": "this one",
    "tasks.support.stage_inputs": "says what is wrong",
    "tasks.support.tracking": "records a run",
    "tasks.support.workspace": "says where things are",
}
"""Modules and packages that stages import and that change none of their results, and why."""

BY_NAME = {"falcon.sandbox.wire.launch": ("falcon.sandbox.confined", "falcon.sandbox.worker")}
"""Packages whose modules the key imports by name, in processes of its own."""


@dataclass(frozen=True)
class Module:
    """What of a source file matters: ``code`` is the digest of its statements, ``imports`` are
    pairs of a module and a name in it ("" for the module itself)."""

    md5: str
    code: str
    imports: tuple[tuple[str, str], ...]


def stage_code(space: Workspace, stage: str) -> dict[str, str]:
    """Digest of each module that makes the stage's result, by its path in the workspace."""
    return _Sources(space).closure(f"tasks.{stage}")


def write_stage_code(space: Workspace) -> None:
    """The stage ``code``: write ``outputs/code/STAGE.json`` of every stage."""
    sources = _Sources(space)
    for stage in STAGES:
        write_json(code_file(space, stage), sources.closure(f"tasks.{stage}"))
    sources.remember()


def code_file(space: Workspace, stage: str) -> Path:
    """Where the digests of a stage's modules are kept."""
    return space.output("code") / f"{stage}.json"


def code_is_recorded(space: Workspace, stage: str) -> bool:
    """Whether ``outputs/code`` has the stage's modules as they are now."""
    file = code_file(space, stage)
    return file.is_file() and read_json(file) == stage_code(space, stage)


class _Sources:
    """The source files of a workspace. Files that are as they were are not parsed again."""

    def __init__(self, space: Workspace) -> None:
        self._root = space.root
        self._memo = space.state / "cache" / "modules.json"
        self._files = {
            _module_name(file.relative_to(self._root)): file
            for package in PACKAGES
            for file in sorted((self._root / package).rglob("*.py"))
        }
        self._known: dict[str, Module] = self._remembered()
        self._read: dict[str, Module] = {}

    def closure(self, start: str) -> dict[str, str]:
        """Digests of ``start`` and of all that it imports and that may change a result."""
        found: dict[str, str] = {}
        seen, waiting = set[str](), [start]
        while waiting:
            name = waiting.pop()
            if name in seen or _changes_nothing(name):
                continue
            seen.add(name)
            module = self._module(name)
            found[str(self._files[name].relative_to(self._root))] = module.code
            waiting += (place for pair in module.imports for place in self._places(*pair))
            for package in BY_NAME.get(name, ()):
                waiting += (each for each in self._files if each.startswith(f"{package}."))
        return dict(sorted(found.items()))

    def remember(self) -> None:
        """Keep what was read for the next process."""
        modules = {name: asdict(module) for name, module in self._read.items()}
        write_text(self._memo, json.dumps({"python": sys.version, "modules": modules}))

    def _remembered(self) -> dict[str, Module]:
        try:
            tree = json.loads(self._memo.read_text(encoding="utf-8"))
            if tree["python"] != sys.version:  # another one writes statements another way
                return {}
            return {
                name: Module(each["md5"], each["code"], tuple((m, n) for m, n in each["imports"]))
                for name, each in tree["modules"].items()
            }
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _module(self, name: str) -> Module:
        if name not in self._read:
            file, known = self._files[name], self._known.get(name)
            md5 = file_md5(file)
            if known is None or known.md5 != md5:
                tree = ast.parse(file.read_bytes(), file)
                package = name if file.name == "__init__.py" else name.rpartition(".")[0]
                imports = tuple(dict.fromkeys(_imports(tree, package)))
                known = Module(md5, _digest(tree), imports)
            self._read[name] = known
        return self._read[name]

    def _places(self, module: str, name: str) -> Iterator[str]:
        """The modules that ``from module import name`` needs, of those of this workspace."""
        if name and f"{module}.{name}" in self._files:
            yield f"{module}.{name}"
        elif module in self._files:
            offered = [pair for pair in self._module(module).imports if pair[1] == name]
            if self._files[module].name == "__init__.py" and name and offered:
                yield from self._places(*offered[0])
            else:
                yield module


def _module_name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _changes_nothing(name: str) -> bool:
    if name in PACKAGES:
        return name in NO_RESULT
    return any(
        name == each or (each not in PACKAGES and name.startswith(f"{each}.")) for each in NO_RESULT
    )


def _digest(tree: ast.Module) -> str:
    """Digest of the statements: not of comments, docstrings and layout."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Texts that stand alone do nothing: docstrings, also those of attributes.
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Pairs of module and name, without those that only annotations need."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for each in node.orelse:
            yield from _imports(each, package)
        return
    if isinstance(node, ast.Import):
        yield from ((each.name, "") for each in node.names)
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: -node.level + 1 or None] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        yield from ((module, each.name) for each in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package)
