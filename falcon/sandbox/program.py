"""Program: one piece of untrusted source and the tests it is to be judged by."""

from dataclasses import dataclass

from falcon.errors import UserError
from falcon.sandbox.wire import codec
from falcon.sandbox.wire.messages import RETURNS
from falcon.suite import CallSuite, CodeSuite, Suite

_FORGED = "\udc01"


@dataclass(frozen=True, slots=True)
class Program:
    """Source text as a model wrote it, and its suite. Neither is changed by judging.

    ``trace`` asks for the lines that ran in each test; such a run is about ten times slower,
    and its limits of time ten times wider.
    """

    code: str
    suite: Suite
    trace: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.code, str):
            kind = type(self.code).__name__
            raise ValueError(f"the program is {kind}, not text: decode it first")

    @property
    def message(self) -> str:
        """The source as the compiler reads it: marked where it may return at its top level, as
        printing programs may in the checker of APPS."""
        if self.suite.kind == "stdin" and self.suite.rule != "lines":
            return RETURNS + self.code
        # The mark is a lone surrogate, which no source may hold. A program that begins with one
        # of its own gets another, which is refused alike.
        forged = self.code.startswith(RETURNS)
        return _FORGED + self.code[1:] if forged else self.code


def suite_message(suite: Suite) -> dict[str, object]:
    """The suite as the worker reads it. Raises UserError for values that are not plain data."""
    fields: dict[str, object] = suite.model_dump(exclude={"calls", "runs"})
    if isinstance(suite, CodeSuite):
        return fields
    if not isinstance(suite, CallSuite):
        return {**fields, "runs": [(run.stdin, run.expected) for run in suite.runs]}
    calls = []
    for number, call in enumerate(suite.calls, 1):
        try:
            arguments, _, _ = codec.encode_call(call.args, {})
            calls.append((arguments, codec.encode(call.expected, budget=False)))
        except codec.Unserialisable as fault:
            raise UserError(
                f"Call {number} of `{suite.entry_point}` holds a {fault}, which is not plain data.",
                hint="Use None, numbers, text, bytes, lists, tuples, sets and dicts.",
            ) from None
    return {**fields, "calls": calls}
