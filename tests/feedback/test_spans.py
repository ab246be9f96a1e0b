"""Lines to characters, characters to tokens."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falcon.feedback import (
    Reward,
    Span,
    first_occurrence,
    line_count,
    line_span,
    token_rewards,
    whole_span,
)
from falcon.prompts.excerpt import Piece


def lines(program: str) -> list[str]:
    texts = []
    for number in range(1, line_count(program) + 1):
        span = line_span(program, number)
        assert span is not None
        texts.append(program[span.start : span.end])
    return texts


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a\nb", ["a", "b"]),
        ("a\n", ["a", ""]),
        ("a\r\nb\rc\n\nd", ["a", "b", "c", "", "d"]),
        ("a\fb\x0bc\u2028d\x85e\nf", ["a\fb\x0bc\u2028d\x85e", "f"]),
        ("  é\n\t🙂", ["  é", "\t🙂"]),
    ],
)
def test_lines(program: str, expected: list[str]) -> None:
    assert lines(program) == expected


@pytest.mark.parametrize("line", [-1, 0, 3, 10**9])
def test_no_such_line(line: int) -> None:
    assert line_span("a\nb", line) is None


@given(st.text(alphabet="ab \n\r\f\u2028é"), st.integers(-2, 30))
def test_span_lies_in_the_text(program: str, line: int) -> None:
    span = line_span(program, line)
    assert (span is None) == (not 1 <= line <= line_count(program))
    if span is not None:
        assert 0 <= span.start <= span.end <= len(program)
        assert not {"\n", "\r"} & set(program[span.start : span.end])


def test_lines_are_those_of_the_compiler() -> None:
    program = "a = 1\r\n\fb = 2\rc = '\u2028'\n\nd = 4"
    tree = ast.parse(program)
    names = [lines(program)[node.lineno - 1].strip() for node in tree.body]
    assert names == ["a = 1", "b = 2", "c = '\u2028'", "d = 4"]


def test_first_occurrence_takes_the_first_of_equal_lines() -> None:
    program = "if a:\n    x = 1\nelse:\n    x = 1\n"
    assert first_occurrence(program, 4) == Span(start=10, end=15)
    assert line_span(program, 4) == Span(start=22, end=31)
    assert first_occurrence(program, 5) is None
    assert first_occurrence(program, 9) is None


def reward(span: Span | None, value: float = -0.5, term: str = "negative") -> Reward:
    return Reward(term=term, value=value, span=span, reason="")


def begins_at(character: int) -> list[Piece]:
    return [Piece(0, character, 99)]


OFFSETS = [(0, 3), (3, 5), (5, 5), (5, 9), (9, 12), (12, 12)]


def test_tokens_that_touch_the_span_earn_it() -> None:
    rewards = token_rewards([reward(Span(start=2, end=4))], OFFSETS, begins_at(2))
    assert rewards == {"negative": [0, -0.5, -0.5, -0.5, 0, 0]}


def test_partly_covered_tokens_earn_it_neighbours_do_not() -> None:
    rewards = token_rewards([reward(Span(start=3, end=6))], OFFSETS, begins_at(0))
    assert rewards == {"negative": [0, -0.5, -0.5, -0.5, 0, 0]}


def test_without_a_span_nothing_is_earned_and_terms_add_up() -> None:
    given_ = [reward(None), reward(Span(start=0, end=3), 1.0), reward(Span(start=0, end=5), 0.5)]
    assert token_rewards(given_, OFFSETS, begins_at(0))["negative"] == [1.5, 0.5, 0.5, 0, 0, 0]
    assert token_rewards([reward(None)], OFFSETS, begins_at(0)) == {"negative": [0.0] * 6}


def test_whole_program_reaches_the_end_token_of_a_bare_completion() -> None:
    rewards = token_rewards([reward(Span(start=0, end=12), 1.0, "coarse")], OFFSETS, begins_at(0))
    assert rewards["coarse"] == [1.0] * 6


def test_whole_program_in_a_chat_answer_is_earned_by_all_of_it() -> None:
    complete = reward(whole_span("x=1\n"), 1.0, "coarse")
    assert token_rewards([complete], OFFSETS, begins_at(5))["coarse"] == [0, 0, 1, 1, 0, 0]
    assert (
        token_rewards([complete], OFFSETS, begins_at(5), whole_completion=True)["coarse"]
        == [1.0] * 6
    )


def test_the_only_line_of_a_program_is_not_the_whole_of_it() -> None:
    program = "x=1/"
    line, whole = line_span(program, 1), whole_span(program)
    assert line is not None
    assert (line.start, line.end) == (whole.start, whole.end)
    earned = token_rewards([reward(line)], OFFSETS, begins_at(5), whole_completion=True)["negative"]
    assert earned == [0, 0, -0.5, -0.5, 0, 0]


def test_pieces_of_a_program_that_stand_apart() -> None:
    pieces = [Piece(4, 9, 3), Piece(7, 0, 3), Piece(10, 3, 2)]  # 4 characters of the prompt first

    def earned(start: int, end: int) -> list[float]:
        return token_rewards([reward(Span(start=start, end=end), 1.0)], OFFSETS, pieces)["negative"]

    assert earned(0, 4) == [0] * 6
    assert earned(2, 5) == [0, 0, 0, 0, 1, 0]
    assert earned(6, 8) == [1, 0, 0, 0, 1, 1]
    assert earned(8, 12) == [1, 1, 1, 0, 0, 0]
    assert earned(11, 11) == [0, 1, 0, 0, 0, 0]
