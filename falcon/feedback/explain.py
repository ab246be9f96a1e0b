"""Explanation for people: the text of a program with each reward at the lines it belongs to.

Values and spans come from :class:`Feedback`; nothing is computed here.
"""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from falcon.feedback.reward import Feedback, Reward
from falcon.feedback.spans import line_count, line_span
from falcon.listing import highlighted, printable


def lines_of(reward: Reward, program: str) -> tuple[int, int]:
    """First and last line (from 1) that a reward's span touches; (0, 0) without a span."""
    span = reward.span
    if span is None:
        return 0, 0
    touched = [  # the first condition is for a span of no width
        number
        for number in range(1, line_count(program) + 1)
        if (line := line_span(program, number)) is not None
        and (line.start == span.start or (line.start < span.end and line.end > span.start))
    ]
    return (touched[0], touched[-1]) if touched else (0, 0)


def print_feedback(
    console: Console,
    program: str,
    feedback: Feedback,
    score: float,
    others: Sequence[Reward] = (),
) -> None:
    """The program with line numbers and local rewards, then the rest with their reasons.

    ``score`` is the composite R(W, F); ``others`` are rewards of other methods.
    """
    local = [r for r in feedback.rewards if r.span is not None and not r.span.whole]
    console.print()
    for number, source in enumerate(_source(console, program), start=1):
        console.print(Text.assemble((f"{number:>4} | ", "dim"), source), soft_wrap=True)
        for reward in local:
            first, last = lines_of(reward, program)
            if number == last:
                lines = f"line {first}" if first == last else f"lines {first} to {last}"
                _print_reward(console, reward, f"     ^ {lines}: ")
    groups = (
        ("on the whole program", [r for r in feedback.rewards if r.span and r.span.whole]),
        ("reported, trains nothing", [r for r in feedback.rewards if r.span is None]),
        ("of other methods", others),
    )
    for title, rewards in groups:
        if rewards:
            console.print(f"\n{title}", style="bold", highlight=False)
        for reward in rewards:
            _print_reward(console, reward, "  ")
    for line in _summary(feedback, score):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _source(console: Console, program: str) -> Iterator[Text]:
    shown = highlighted(program) if console.is_terminal else Text(printable(program))
    yield from shown.split("\n", allow_blank=not program.endswith("\n"))


def _print_reward(console: Console, reward: Reward, head: str) -> None:
    style = "green" if reward.value > 0 else "red" if reward.value < 0 else "yellow"
    console.print(
        f"{head}{reward.term:<10} {reward.value:+.3f}  {printable(reward.reason)}",
        style=style,
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _summary(feedback: Feedback, score: float) -> Iterator[str]:
    yield ""
    if feedback.error_type:
        at = f" on line {feedback.error_line}" if feedback.error_line else ""
        message = f": {feedback.error_message}" if feedback.error_message else ""
        yield printable(f"error      {feedback.error_type}{at}{message}")
    if feedback.tripwires:
        yield printable(f"suspicious {', '.join(feedback.tripwires)}")
    yield f"R(W, F)    {score:+.3f}"
