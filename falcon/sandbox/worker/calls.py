"""Suites of calls: each value that the program returns is compared with what is expected.

Calls do not depend on one another, so all are put to one child at once. A child that dies is
replaced, so that one crash does not decide the other tests; after a timeout the rest count as
timeouts.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..wire import codec
from ..wire.messages import PRESENCE, TRUTH, VALUE_ONLY, request
from ..wire.records import CallTests, Ending, Outcome
from ..wire.store import Store, size_of
from .child_handle import violation
from .compare import apps, evalplus
from .compare.value import same_value
from .compiled import compile_source
from .handles import SuiteFault
from .limits import Limits
from .runner import Execution, Runner

_REFERENCE_LIMITS = 4


class SuiteCache:
    """What a slot remembers of suites for the other programs of a group; no verdict depends on it.

    ``expected``: what references returned, 4 MiB as text (more as objects). ``calls``: requests
    that test code made, 16 MiB with the tests, and how often in a row a program got other ones.
    """

    def __init__(self) -> None:
        self.expected: Store[list[object]] = Store(1 << 22)
        self.calls: Store[tuple[list[bytes], int]] = Store(1 << 24)


class Question(NamedTuple):
    """One call of the program, and what judges the value that came back."""

    request: bytes
    settle: Callable[[Any], Ending]
    room: int = 1  # of the value


def judge(runner: Runner, tests: CallTests, cache: SuiteCache) -> list[Ending]:
    """The ending of each call. Raises Fault."""
    presence = tests.rule == "evalplus:not-none"
    try:
        if tests.reference:
            expected = _expected(runner, tests, cache, PRESENCE if presence else VALUE_ONLY)
        else:
            expected = [codec.decode(value, budget=False) for _, value in tests.calls]
        # What a reference returns may be long where nothing says so.
        texts = (text for call in tests.calls for text in call)
        room = codec.ROOMIEST if tests.reference else codec.room_for(texts)
        requests = _requests(tests, TRUTH if presence else VALUE_ONLY, room)
    except codec.Malformed as fault:
        raise SuiteFault(f"a value of the tests cannot be read: {fault}") from None
    questions = [
        Question(request, partial(_compared, tests, arguments, value), room)
        for request, (arguments, _), value in zip(requests, tests.calls, expected, strict=True)
    ]
    return ask(runner, questions)


def _requests(tests: CallTests, want: int, room: int) -> list[bytes]:
    none, name = codec.encode({}), tests.entry_point
    if tests.rule in ("apps", "apps:strict"):
        name = f"Solution().{name}|{name}"
    return [request(name, arguments, none, want=want, room=room) for arguments, _ in tests.calls]


def _expected(runner: Runner, tests: CallTests, cache: SuiteCache, want: int) -> list[Any]:
    """What the suite's reference returns, remembered for the programs to come.

    The reference runs like any program, with more time. Raises SuiteFault when it fails.
    """
    requests = _requests(tests, want, codec.ROOMIEST)
    text = "\0".join((tests.reference, *map(repr, requests)))
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    if (kept := cache.expected.get(key)) is not None:
        return kept
    reference = compile_source(runner.handles, tests.reference)
    if isinstance(reference, Ending):
        raise SuiteFault("the reference of the tests does not compile")
    cpu, total, output = runner.limits
    wide = Limits(_REFERENCE_LIMITS * cpu, _REFERENCE_LIMITS * total, output)
    values: list[Any] = []
    texts: list[str] = []

    def keep(value: Any) -> Ending:
        try:
            # Refuses an iterator: it can be read once only.
            texts.append(codec.encode(value, budget=False))
        except codec.Unserialisable:
            return Ending(Outcome.UNSERIALISABLE)
        values.append(value)
        return Ending(Outcome.PASS)

    endings = ask(
        Runner(runner.handles, reference, wide),
        [Question(r, keep, codec.ROOMIEST) for r in requests],
    )
    for number, ending in enumerate(endings, start=1):
        if ending.outcome is not Outcome.PASS:
            how = f"{ending.outcome} ({ending.error.type if ending.error else ''})"
            raise SuiteFault(f"the reference of the tests ends in {how} on input {number}")
    cache.expected.put(key, values, size_of(texts))
    return values


def _compared(tests: CallTests, arguments: str, expected: Any, value: Any) -> Ending:
    try:
        if tests.rule == "value":
            right = same_value(expected, value, tests.atol)
        elif tests.rule in ("apps", "apps:strict"):
            right = apps.same_value(expected, value, strict=tests.rule == "apps:strict")
        else:
            inputs, _, _ = codec.decode_call(arguments, codec.encode({}))
            right = evalplus.same(tests.rule, expected, value, inputs, tests.atol)
    except Exception:  # noqa: BLE001  whatever a comparison raises, the value is not the right one
        right = False
    return Ending(Outcome.PASS if right else Outcome.WRONG_ANSWER)


def ask(runner: Runner, questions: Sequence[Question]) -> list[Ending]:
    """An ending for each question, all put to one child unless it dies."""
    endings: list[Ending] = []
    runner.tests = len(questions)
    while len(endings) < len(questions):
        left = questions[len(endings) :]
        with Execution(runner, patient=True) as execution:
            execution.ask_all(question.request for question in left)
            if broken := execution.load():
                # Loading fails alike every time: all tests that are left end so.
                return endings + [runner.with_lines(broken, execution.loading)] * len(left)
            replace = _answers(runner, execution, left, endings)
        if not (runner.may_respawn() and replace):
            endings += [endings[-1]] * (len(questions) - len(endings))
    return endings


def _answers(
    runner: Runner, execution: Execution, questions: Sequence[Question], endings: list[Ending]
) -> bool:
    """Judge until the child dies; False if the remaining tests must not run."""
    for question in questions:
        answer = execution.answer()
        ending = answer.ending or _settled(question, answer.value)
        lines = execution.loading | execution.lines
        endings.append(ending if answer.dead else runner.with_lines(ending, lines))
        if answer.dead or ending.outcome is Outcome.PROTOCOL_VIOLATION:
            return ending.outcome is not Outcome.TIMEOUT
    return True


def _settled(question: Question, body: bytes) -> Ending:
    size = int.from_bytes(body[:4], "big")  # of the value; what follows is not asked for here
    try:
        value = codec.decode(body[4 : 4 + size], room=question.room)
    except codec.Malformed as fault:
        return violation(str(fault)[:100])
    return question.settle(value)
