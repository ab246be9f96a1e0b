"""Suites of whole programs: a fresh child for each run, judged by what it prints."""

from ..wire.records import Ending, Outcome, StdinTests
from .compare import apps
from .compare.value import same_text
from .runner import Execution, Runner


def judge(runner: Runner, tests: StdinTests) -> list[Ending]:
    """The ending of each run; after a timeout the rest count as timeouts. Raises Fault."""
    endings: list[Ending] = []
    runner.tests = len(tests.runs)
    for stdin, expected in tests.runs:
        if endings and endings[-1].outcome is Outcome.TIMEOUT:
            endings.append(endings[-1])
            continue
        feed = _bytes(stdin)
        with Execution(runner, stdin=feed, patient=True) as execution:
            ending = _run(execution, expected, tests.rule)
            lines = execution.lines
        endings.append(runner.with_lines(ending, lines) if lines else ending)
    return endings


def _bytes(stdin: str) -> bytes:
    try:
        return stdin.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a pair that stands for no byte
        return stdin.encode("utf-8", "surrogatepass")


def _run(execution: Execution, expected: str, rule: str) -> Ending:
    done, broken = execution.run_whole()
    child = execution.child
    if broken:
        return broken
    assert child.ended is not None
    assert child.streams is not None
    text = bytes(child.streams.output).decode("utf-8", "replace")
    try:
        if rule == "lines":
            same = same_text(expected, text)
        elif rule == "apps:strict":
            same = same_text(apps.full_lines(expected), apps.full_lines(text))
        else:
            same = apps.same_output(expected, text, unordered=rule == "apps:unordered")
    except Exception:  # noqa: BLE001  whatever a comparison raises, the output is not the right one
        same = False
    # Its exit status is worth nothing, so os._exit(0) after the right output is fine.
    exited = child.ended.outcome is Outcome.PREMATURE_EXIT and child.status == 0
    if exited and (same or done):
        return Ending(Outcome.PASS if same else Outcome.WRONG_ANSWER)
    return child.ended
