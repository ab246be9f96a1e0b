"""From a program that really ran to the tokens of its error line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_token_offsets import BYTES, UNIGRAM

from falcon.config import Settings
from falcon.feedback import decoded, negative_reward, token_offsets, token_rewards
from falcon.prompts.excerpt import Piece
from falcon.sandbox import Program, Sandbox
from falcon.suite import Call, CallSuite, Run, StdinSuite, Suite

PRELUDE = "import math\nimport sys\nfrom collections import *\n"
STDIN = StdinSuite(runs=(Run(stdin="5\n", expected="1"),), prelude=PRELUDE)
CALL = CallSuite(entry_point="f", calls=(Call(args=(3,), expected=3),))


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(Settings().changed({"machine.cache": False})) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("program", "suite", "line"),
    [
        ("n = int(input())\nx = [1]\nprint(x[n])\n", STDIN, "print(x[n])"),
        ("n = int(input())\r\nx = [1]\r\nprint(x[n])\r\n", STDIN, "print(x[n])"),
        ("n = int(input())\nx = [1\nprint(n)\n", STDIN, "x = [1"),
        (
            "def f(x):\n\tif x < 0:\n\t\treturn x[9]\n\tif x:\n\t\treturn x[9]\n",
            CALL,
            "\t\treturn x[9]",
        ),
        ("def f(x):\n    s = '日本🙂'\n    return s + 'é'[x]\n", CALL, "    return s + 'é'[x]"),
        ("def f(x):\n\f\n    y = x\n    return y[0]\n", CALL, "    return y[0]"),
        ("def g(y):\n    return y[0]\n\n\ndef f(x):\n    return g(x)\n", CALL, "    return y[0]"),
    ],
    ids=["stdin", "crlf", "syntax", "tabs", "unicode", "formfeed", "callee"],
)
@pytest.mark.parametrize("tokenizer", [BYTES, UNIGRAM], ids=["bytes", "unigram"])
def test_tokens_of_the_line_that_failed(
    box: Sandbox, program: str, suite: Suite, line: str, tokenizer: object
) -> None:
    verdict = box.judge(Program(program, suite))
    kind = "syntax" if line == "x = [1" else "index" if "x[n]" in line or "é" in line else "type"
    reward = negative_reward(verdict, program, {kind: 1}, {kind: 0.5})
    assert reward.span is not None
    assert program[reward.span.start : reward.span.end] == line
    # The last of equal lines, so that taking the first would show.
    assert reward.span.start == program.rindex(line)
    answer = f"Here it is, é:\n```python\n{program}```\nDone."
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    text = decoded(tokenizer, ids)
    assert text == answer
    offsets = token_offsets(tokenizer, ids)
    start = text.index("```python\n") + len("```python\n")
    row = token_rewards([reward], offsets, [Piece(0, start, len(program))])["negative"]
    earning = [pair for pair, value in zip(offsets, row, strict=True) if value]
    assert set(row) == {0.0, -0.5}
    low, high = earning[0][0], earning[-1][1]
    assert line in text[low:high]
    # No token beyond those that carry a character of the line.
    assert all(b > start + reward.span.start and a < start + reward.span.end for a, b in earning)
