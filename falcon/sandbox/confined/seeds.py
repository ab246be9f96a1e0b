"""Random numbers are the same in every run, of generators without a seed too: verdicts are compared
and kept. What asks the kernel itself (os.urandom, secrets, uuid4, SystemRandom) is left alone."""

import contextlib
import importlib
import random
from typing import Any

_seeds = random.Random(0)
_seed = random.Random.seed


def _with_seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    _seed(self, _seeds.getrandbits(128) if a is None else a, version)


def fix(*, numpy: bool) -> None:
    """Begin anew. ``numpy``: with its generators as well, where it is installed."""
    random.Random.seed = _with_seed  # type: ignore[method-assign]
    random.seed = random._inst.seed  # type: ignore[attr-defined]
    _seed(_seeds, 0)
    random.seed(0)
    if numpy:
        with contextlib.suppress(ImportError):
            # Where a SeedSequence without entropy gets some, and so all its generators.
            importlib.import_module("numpy.random.bit_generator").randbits = _seeds.getrandbits  # type: ignore[attr-defined]
            importlib.import_module("numpy.random").seed(0)
