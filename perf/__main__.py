"""`python -m perf [NAME ...]`: run the named speed comparisons, or all of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from falcon import env

APART = ("soak",)
"""Not a comparison: `make soak`, or `python -m perf.soak`."""
MOVED = {"agreement": "run `make conformance`, or `python -m conformance`"}
"""Names that this command had before, and what to do instead."""


def names() -> list[str]:
    """The comparisons there are: modules of this folder that are not private."""
    stems = [p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_")]
    return sorted(set(stems) - set(APART))


def main() -> int:
    """Run them one after the other; 2 for a name that does not exist."""
    env.apply()
    chosen = sys.argv[1:] or names()
    for name in chosen:
        if name not in names():
            hint = MOVED.get(name, f"there are: {', '.join(names())}")
            print(f"No comparison `{name}`: {hint}.", file=sys.stderr)
            return 2
    for name in chosen:
        sys.argv = [name]
        runpy.run_module(f"perf.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
