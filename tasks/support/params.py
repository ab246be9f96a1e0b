"""Settings of a run: what a command writes into params.yaml, and the file that stages read.

DVC reads settings from files and nowhere else. The stage ``settings`` resolves ``params.yaml`` and
what a flow set for its own run (``handover/run/settings.yaml``) into ``outputs/settings.yaml``.
All other stages read that file alone, so an edit of params.yaml during a run changes nothing of it.
"""

import io
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from falcon.config import (
    FREE,
    PARAMS,
    Override,
    Settings,
    leaves,
    profile_overrides,
    read_tree,
    require_file_settings,
    resolve,
)
from falcon.errors import UserError
from tasks.support import dvc
from tasks.support.files import write_text
from tasks.support.stage_code import code_is_recorded
from tasks.support.workspace import STAGES, Workspace

BEFORE = ("settings", "code")
"""DVC's stages before those of the pipeline: of what a run is made."""

HEAD = "# Settings of the last run, made by `python -m tasks settings`. Edit params.yaml instead.\n"


def write_settings(space: Workspace, profile: str, overrides: Sequence[Override] = ()) -> bool:
    """Write the values of ``profile`` (if any) and ``overrides`` into params.yaml; True if it
    changed. Comments and all else in the file stay as they are. What a flow set for its own run no
    longer counts for these keys.

    Raises UserError for an unknown profile or key and for values out of range.
    """
    file = space.root / PARAMS
    own = read_tree(file)
    values = profile_overrides(space.root, profile) if profile else []
    before = _values(resolve(own, file))
    after = _values(resolve(own, file, [*values, *overrides]))
    changed = {key: value for key, value in after.items() if value != before[key]}
    _drop_run_settings(space, {each.path for each in (*values, *overrides)})
    if not changed:
        return False  # as it was, byte for byte
    editor = YAML()
    editor.preserve_quotes, editor.width = True, 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    tree = editor.load(file.read_text(encoding="utf-8")) or {}
    for path, value in changed.items():
        *sections, key = path.split(".")
        _put(tree, sections, key, value)
    text = io.StringIO()
    editor.dump(tree, text)
    write_text(file, text.getvalue())
    return True


def _own_file(space: Workspace) -> Path:
    return space.handover / "run" / "settings.yaml"


def set_for_run(space: Workspace, settings: Settings, values: Mapping[str, Any]) -> None:
    """Set values, by dotted key, for the next run alone; ``settings`` are those of params.yaml."""
    present = _values(settings)
    given = {key: {"value": value, "instead_of": present[key]} for key, value in values.items()}
    write_text(_own_file(space), yaml.safe_dump(given, sort_keys=True))


def _drop_run_settings(space: Workspace, keys: set[str]) -> None:
    """Remove keys from what a flow set for its own run: a command gave them since."""
    file = _own_file(space)
    given = read_tree(file) if file.is_file() else {}
    if keys & set(given):
        kept = {key: entry for key, entry in given.items() if key not in keys}
        write_text(file, yaml.safe_dump(kept, sort_keys=True))


def run_settings(space: Workspace) -> Settings:
    """What the next run's stages are to read: params.yaml, and what a flow set for its own run.

    A value that a flow set holds as long as params.yaml says what it said then, so that no later
    edit is without effect. Raises UserError for either file.
    """
    file, own = space.root / PARAMS, _own_file(space)
    tree = read_tree(file)
    settings = resolve(tree, file)
    if not own.is_file():
        return settings
    present, overrides = _values(settings), []
    for key, entry in read_tree(own).items():
        if not isinstance(entry, Mapping) or set(entry) != {"value", "instead_of"}:
            raise UserError(
                f"{own}: `{key}` needs `value` and `instead_of`.", hint=f"Remove {own}."
            )
        # Both as settings, so that they compare as they are meant; an unknown key is refused here.
        said = _values(resolve(tree, file, [Override(key, entry["instead_of"], str(own))]))
        if said == present:
            overrides.append(Override(key, entry["value"], str(own)))
    return resolve(tree, file, overrides)


def write_run_settings(space: Workspace) -> None:
    """The stage ``settings``: write ``outputs/settings.yaml``.

    Raises UserError for a variable of the environment that no stage would see.
    """
    require_file_settings()
    tree = run_settings(space).model_dump(mode="json")
    write_text(space.frozen, HEAD + yaml.safe_dump(tree, sort_keys=False))


def freeze_settings(space: Workspace) -> Settings:
    """Bring ``outputs/settings.yaml`` and ``outputs/code`` up to date; give the settings that
    stages will read.

    Called once at the start of a run. Raises UserError for settings that cannot be.
    """
    require_file_settings()
    run_settings(space)  # here its faults are one line, without DVC's around it
    todo = [stage for stage in BEFORE if not dvc.is_recorded(space.root, stage)]
    if todo:
        dvc.repro(space.root, *todo)
    return space.stage_settings()


def repro_stage(space: Workspace, stage: str, **how: Any) -> dvc.How:
    """``dvc.repro`` of a stage, with its code as it is now on record.

    Settings are frozen for a run; code that is edited during one is used, and DVC is told of it.
    """
    if not code_is_recorded(space, stage):
        dvc.repro(space.root, "code")
    return dvc.repro(space.root, stage, **how)


def is_frozen(space: Workspace) -> bool:
    """Whether ``outputs/settings.yaml`` has what params.yaml says now (but for ``FREE``), and
    ``outputs/code`` what the modules say."""
    if not space.frozen.is_file() or not all(code_is_recorded(space, name) for name in STAGES):
        return False
    frozen = resolve(read_tree(space.frozen), space.frozen)
    return frozen.model_dump(exclude=set(FREE)) == run_settings(space).model_dump(exclude=set(FREE))


def _values(settings: Settings) -> dict[str, Any]:
    return leaves(settings.model_dump(mode="json"))


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
    # ruamel writes YAML 1.2, where `off` is text; DVC and we read it with other rules. A colon in
    # a list is one that ruamel itself cannot read again.
    if isinstance(value, str) and (":" in value or yaml.safe_load(value or "''") != value):
        return DoubleQuotedScalarString(value)
    return value
