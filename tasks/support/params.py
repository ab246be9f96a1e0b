"""params.yaml: what a command changes in it, because DVC reads settings there and nowhere else.

Comments and everything else in the file stay as they are.
"""

import io
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from falcon.config import Override, load_settings
from tasks.support.files import write_text
from tasks.support.workspace import Workspace


def write_settings(space: Workspace, profile: str, overrides: Sequence[Override] = ()) -> bool:
    """Make ``profile`` (if any) the active one and write ``overrides``; True if the file changed.

    An override goes into the active profile's block if its key is there, else above the
    profiles. Raises UserError for an unknown profile or key and for values out of range.
    """
    file = space.root / "params.yaml"
    active = load_settings(file, profile or None).profile
    if not overrides and active == load_settings(file).profile:
        return False  # as it was, byte for byte
    before = file.read_text(encoding="utf-8")
    editor = YAML()
    editor.preserve_quotes, editor.width = True, 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    tree = editor.load(before) or {}
    if profile:
        tree["profile"] = profile
    block = (tree.get("profiles") or {}).get(active) or {}
    for each in overrides:
        *sections, key = each.path.split(".")
        _put(block if _has(block, [*sections, key]) else tree, sections, key, each.value)
    after = io.StringIO()
    editor.dump(tree, after)
    write_text(file, after.getvalue())
    return after.getvalue() != before


def _has(tree: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return True


def _put(tree: MutableMapping[str, Any], sections: Sequence[str], key: str, value: Any) -> None:
    for section in sections:
        if not isinstance(tree.get(section), MutableMapping):
            tree[section] = {}
        tree = tree[section]
    tree[key] = _node(value)


def _node(value: Any) -> Any:
    """A value as it is written: short lists in one line, text in quotes where it needs them."""
    if isinstance(value, list):
        items = CommentedSeq(map(_node, value))
        items.fa.set_flow_style()
        return items
    # ruamel writes YAML 1.2, where `off` is text; DVC and we read it with other rules.
    if isinstance(value, str) and yaml.safe_load(value or "''") != value:
        return DoubleQuotedScalarString(value)
    return value
