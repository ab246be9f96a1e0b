"""The table of messages in docs/operations.md: each of them is one that the code says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANYTHING = "\x00"


class Texts(ast.NodeVisitor):
    """Every text of a module; what is put into a text is ``ANYTHING``."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [v.value if isinstance(v, ast.Constant) else ANYTHING for v in node.values]
        self.found.append("".join(str(part) for part in parts))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.append(node.value)


@cache
def said() -> list[str]:
    texts = Texts()
    for top in ("falcon", "tasks", "flows"):
        for file in (ROOT / top).rglob("*.py"):
            texts.visit(ast.parse(file.read_text(encoding="utf-8")))
    return texts.found


def messages() -> list[str]:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("\n| message | what to do |\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(.+?)` \|", table, flags=re.MULTILINE)


def test_every_message_of_the_table_occurs_in_the_code() -> None:
    assert len(messages()) > 25
    missing = []
    for message in messages():
        parts = [part.strip() for part in message.split("...") if part.strip(" ,")]
        pattern = re.compile(".*".join(map(re.escape, parts)), flags=re.DOTALL)
        if not any(pattern.search(text) for text in said()):
            missing.append(message)
    assert missing == []
