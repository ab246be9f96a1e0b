"""The pages are true: what they name exists, links resolve, lines and the README stay short."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from falcon.config import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "mlflow/README.md")]
    + list((ROOT / "docs").rglob("*.md"))
)
FOLDERS = r"(?:falcon|tasks|flows|tests|docs|perf|conformance|mlflow|handover|launch)"
OLD = [ROOT / "CHANGELOG.md", ROOT / "docs" / "upgrading.md"]
"""Pages that tell old names."""
FILES = ("data.dvc", "memory.before")
"""Files whose names look like settings."""
MADE = ("data/README.md",)
"""What `make data` fetches: a clone does not have it."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """The page without its fenced blocks, where brackets are code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def names(module: Path) -> set[str]:
    """Every name that a module defines, imports or assigns, methods as ``Class.method``."""
    found: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_no_line_is_wider_than_100() -> None:
    wide = [
        f"{named(page)}:{number}: {len(line)}"
        for page in PAGES
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    assert wide == []


def test_the_readme_has_at_most_1000_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1000


def anchors(page: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)$", prose(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_resolve(page: Path) -> None:
    text = prose(page.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(
        r'(?:src|href|srcset)="([^"]+)"', text
    )
    broken = []
    for link in links:
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target.is_relative_to(ROOT) and named(target) in MADE:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    lab = (ROOT / "docs" / "lab" / "README.md").read_text()
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert f"({page.name})" in index or page.name == "README.md", page.name
    for page in sorted((ROOT / "docs" / "lab").glob("*.md")):
        assert f"({page.name})" in lab or page.name == "README.md", page.name


@pytest.mark.parametrize("page", [p for p in PAGES if p not in OLD], ids=named)
def test_files_that_pages_name_exist(page: Path) -> None:
    paths = re.findall(rf"`({FOLDERS}/[\w./]+)`", page.read_text())
    assert [p for p in paths if not re.search("NAME|STAGE", p) and not (ROOT / p).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_in_tables_of_a_folder_exist(page: Path) -> None:
    """A table with "file of `FOLDER/`" in its head names files of that folder."""
    tables = re.findall(
        r"^\|.*file of `([\w/]+)/`.*\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE
    )
    for folder, rows in tables:
        files = re.findall(r"`(\w+\.py)`", rows)
        assert files
        assert [file for file in files if not (ROOT / folder / file).exists()] == []


def test_functions_that_the_paper_map_names_exist() -> None:
    text = (ROOT / "docs" / "paper_map.md").read_text()
    codes = re.findall(r"`((?:falcon|tasks|flows)[\w.]*):([\w.]+)`", text)
    assert len(codes) > 30
    missing = []
    for module, name in codes:
        file = ROOT / (module.replace(".", "/") + ".py")
        if not file.is_file() or name not in names(file):
            missing.append(f"{module}:{name}")
    assert missing == []


def test_lines_of_algorithm_1_that_the_guide_names_exist() -> None:
    text = (ROOT / "docs" / "mrlf.md").read_text()
    training = ROOT / "falcon" / "training"
    lines = set(re.findall(r"`((?:Mrlf|Engine)\.\w+)`", text))
    steps = set(re.findall(r"`inner_loop\.(\w+)`", text))
    assert lines
    assert steps
    assert lines <= names(training / "methods" / "mrlf.py") | names(training / "engine.py")
    assert steps <= names(training / "inner_loop.py")


def test_tests_that_the_paper_map_names_exist() -> None:
    text = (ROOT / "docs" / "paper_map.md").read_text()
    entries = re.findall(r"^- Tests in `([^`]+)`:((?:\s+`\w+`,?)+)$", text, flags=re.MULTILINE)
    assert len(entries) == text.count("- Tests in")
    missing = [
        f"{file}::{test}"
        for file, tests in entries
        for test in re.findall(r"`(\w+)`", tests)
        if not (ROOT / file).is_file() or test not in names(ROOT / file)
    ]
    assert missing == []


def test_every_equation_is_on_the_paper_map() -> None:
    text = (ROOT / "docs" / "paper_map.md").read_text()
    assert re.findall(r"^\*\*Eq\. (\d)", text, flags=re.MULTILINE) == [str(n) for n in range(1, 10)]


def test_the_floors_are_those_of_the_import_contracts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    contracts = project["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c.get("containers") == ["falcon"])
    text = (ROOT / "docs" / "architecture.md").read_text()
    floors = re.findall(
        r"^  ((?:\w+ \| )*\w+)(?::|  |$)", text.partition("## The sandbox")[0], re.M
    )
    assert floors == layers


def test_what_make_is_told_to_do_in_pages_it_can() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.MULTILINE)) <= targets


def test_new_names_of_the_upgrade_exist() -> None:
    text = (ROOT / "docs" / "upgrading.md").read_text()
    new = re.findall(r"^\| [^|]+ \| `((?:falcon|tasks|conformance)\.[\w.:]+)`", text, re.MULTILINE)
    assert len(new) > 20
    missing = []
    for name in new:
        try:
            pkgutil.resolve_name(name.rstrip("."))
        except (ImportError, AttributeError):
            missing.append(name)
    assert missing == []


def settings_of(section: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """The settings of a section, each with its class where it is a section itself."""
    kinds = {name: field.annotation for name, field in section.model_fields.items()}
    return {
        n: k if isinstance(k, type) and issubclass(k, BaseModel) else None for n, k in kinds.items()
    }


@pytest.mark.parametrize("page", [p for p in PAGES if p not in OLD], ids=named)
def test_settings_that_pages_name_exist(page: Path) -> None:
    sections = {name: kind for name, kind in settings_of(Settings).items() if kind}
    wrong = []
    for path in re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_.]+)(?=[:`= ])", page.read_text()):
        if path in FILES or re.search(r"\.(py|json|html|jsonl)$", path):
            continue
        at: type[BaseModel] | None = Settings
        for key in path.split("."):
            known = settings_of(at) if at else {}
            if key not in known:
                wrong.append(path)
                break
            at = known[key]
    assert wrong == []


BLOCKS = [
    pytest.param(block, id=f"{named(page)}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    )
    if "from falcon" in block
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_in_pages_imports_and_calls_what_there_is(block: str) -> None:
    tree = ast.parse(block)
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                imported[alias.name] = getattr(
                    importlib.import_module(node.module or ""), alias.name
                )
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in imported
        ):
            keywords = {k.arg: None for k in node.keywords if k.arg}
            inspect.signature(imported[node.func.id]).bind(*node.args, **keywords)
