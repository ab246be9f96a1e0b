"""YAML file: read by YAML 1.2, as DVC reads its own, where a plain `off` is text, not false."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from falcon.errors import UserError


def read_yaml(file: Path, *, with_lines: bool = False, hint: str = "") -> Any:
    """What a file holds; ``with_lines``: in ruamel.yaml's own types, which know their lines.

    Raises UserError with the line for what is no YAML, and FileNotFoundError.
    """
    reader = YAML() if with_lines else YAML(typ="safe")
    try:
        return reader.load(file.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as fault:
        line = getattr(getattr(fault, "problem_mark", None), "line", -1) + 1  # counted from 0
        raise UserError(f"{file}: line {line}: not valid YAML.", hint=hint) from None
