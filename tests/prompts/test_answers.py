"""From the answers of many families of models to their programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falcon.prompts.extraction import extract
from tests.prompts.addition import make
from tests.prompts.answers import ADD, ANSWERS, STDIN_ANSWERS, fenced

STDIN = {
    "entry_point": "",
    "tests": {"kind": "stdin", "runs": [{"stdin": "1 2", "expected": "3"}]},
}


def check(answer: str, program: str, **changes: object) -> None:
    found = extract(answer, make(**changes))
    assert found.program == program
    for at, source, length in found.pieces:
        assert found.program[at : at + length] == answer[source : source + length]
    assert sum(piece.length for piece in found.pieces) == len(program)  # all of it is the model's


@pytest.mark.parametrize(("answer", "program"), ANSWERS.values(), ids=ANSWERS)
def test_a_function_is_found(answer: str, program: str) -> None:
    check(answer, program)


@pytest.mark.parametrize(("answer", "program"), STDIN_ANSWERS.values(), ids=STDIN_ANSWERS)
def test_a_program_is_found(answer: str, program: str) -> None:
    check(answer, program, **STDIN)


def test_the_table_is_as_wide_as_it_should_be() -> None:
    families = {name.partition(":")[0] for name in ANSWERS}
    assert len(ANSWERS) + len(STDIN_ANSWERS) >= 60
    assert len(families) >= 5


def test_future_imports_stay_in_front_of_what_the_prompt_has() -> None:
    starter = "import math\n\n\ndef add(a, b):\n"
    answer = fenced(f"from __future__ import annotations\n\n{ADD}")
    found = extract(answer, make(starter=starter))
    assert found.program == f"from __future__ import annotations\nimport math\n\n\n\n{ADD}"
    compile(found.program, "program", "exec")
    covered = "".join(found.program[at : at + n] for at, _, n in found.pieces)
    assert covered == f"from __future__ import annotations\n\n{ADD}"


BITS = (
    *("```", "~~~", "```python\n", "\n```\n", "> ", "- ", "1. ", "\t", "    ", "\n", "\r\n", "\r"),
    *("<think>", "</think>", "[PYTHON]\n", "[/PYTHON]\n", ">>> ", "... ", "\0", "é✓", '"""', "`x`"),
    *(ADD, "import math\n", "from __future__ import annotations\n", "print(add(1, 2))\n", "words "),
)


@given(st.lists(st.sampled_from(BITS), max_size=40))
def test_pieces_are_where_they_say(bits: list[str]) -> None:
    answer = "".join(bits)
    for changes in ({}, {"starter": f"import math\n\n{ADD}"}, STDIN):
        found = extract(answer, make(**changes))
        end = 0
        for at, source, length in found.pieces:
            assert end <= at < at + length <= len(found.program)
            assert found.program[at : at + length] == answer[source : source + length]
            end = at + length


@pytest.mark.parametrize(
    "text", ["\0```python\nx\0", "```\n" * 50, "> " * 200, "- " * 500, "```python\n" * 30]
)
def test_odd_text_has_some_program(text: str) -> None:
    for changes in ({}, STDIN):
        extract(text, make(**changes))
