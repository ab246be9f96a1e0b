"""Problem: the paper's task description D with its tests T and reference solutions.

One immutable record whatever the benchmark. Loaders (one a file beside this one) turn the
benchmarks' formats into it; no other code looks at those formats.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from falcon.suite import CodeSuite, Run, StdinSuite, Suite


class Split(StrEnum):
    """What a problem may be used for. ``valid`` and ``test`` are held out of training."""

    DEMO = "demo"
    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


HELD_OUT = frozenset({Split.VALID, Split.TEST})


class Difficulty(StrEnum):
    """The three levels of APPS, used for every benchmark."""

    INTRODUCTORY = "introductory"
    INTERVIEW = "interview"
    COMPETITION = "competition"


class Problem(BaseModel):
    """One coding problem.

    ``id`` is unique over all sources ("builtin/running-total", "humaneval/12").
    ``starter`` is code the answer starts from (a signature, HumanEval's prompt) or "".
    ``examples`` are visible to the model and are part of ``statement`` already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    split: Split
    difficulty: Difficulty
    statement: str = Field(min_length=1)
    entry_point: str = ""
    starter: str = ""
    examples: str = ""
    tests: Suite
    base_tests: int = Field(0, ge=0)
    """Number of tests, from the first, that the original benchmark has (EvalPlus); 0: all."""
    solutions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pass_rates: dict[str, float] = {}
    """By model: the share of its sampled programs that pass (:mod:`falcon.evaluation.pass_rates`).
    Models without one were not measured."""

    @property
    def uses_stdin(self) -> bool:
        """Whether the program reads standard input and prints its answer."""
        return self.tests.kind == "stdin"


def no_tests(*, stdin: bool) -> Suite:
    """A placeholder for the tests of a task that has none: it says whether the answer reads
    standard input, and must not be run, since every program passes it."""
    return StdinSuite(runs=(Run(),)) if stdin else CodeSuite(asserts=("assert True",))
