"""`python -m benchmarks [NAME ...]`: run the named speed comparisons, or all of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from falcon import env

APART = ("soak",)
"""Not a comparison: run by name."""


def names() -> list[str]:
    """The comparisons there are: modules of this folder that are not private."""
    found = [p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_")]
    return sorted(set(found) - set(APART))


def main() -> int:
    """Run them one after the other; 2 for a name that does not exist."""
    env.apply()
    chosen = sys.argv[1:] or names()
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        print(
            f"No benchmark {', '.join(unknown)}. There are: {', '.join(names())}.", file=sys.stderr
        )
        return 2
    for name in chosen:
        sys.argv = [name]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
