from __future__ import annotations

from dataclasses import replace

import pytest

from falcon.errors import UserError
from falcon.policy.policy import Policy
from falcon.prompts.encode import PromptEncoder
from falcon.prompts.excerpt import Piece
from falcon.prompts.extraction import extract
from falcon.prompts.forms import FORMS, task_text
from tests.prompts.addition import make

CODE = "def add(a, b):\n    return a + b"


STDIN = {
    "entry_point": "",
    "tests": {"kind": "stdin", "runs": [{"stdin": "1", "expected": "1"}]},
}
STARTER = 'import math\n\n\ndef helper(x):\n    return x\n\n\ndef add(a, b):\n    """Sum."""\n'


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        pytest.param(f"{CODE}\n```", f"{CODE}\n", id="fence opened by the prompt"),
        pytest.param(f"{CODE}\n```\nIt adds.\n```\nadd(1, 2)\n```", f"{CODE}\n", id="talk after"),
        pytest.param(CODE, CODE, id="no fence"),
        pytest.param(f"{CODE}\n", f"{CODE}\n", id="cut by the length limit"),
        pytest.param(f"Sure:\n```python\n{CODE}\n```\nDone.", f"{CODE}\n", id="own fence"),
        pytest.param(f"```python\n{CODE}\n```", f"{CODE}\n", id="own fence at once"),
        pytest.param(f"\n```\n{CODE}\n```", f"{CODE}\n", id="own fence without a language"),
        pytest.param(f"```py\r\n{CODE}\n", f"{CODE}\n", id="own fence never closed"),
        pytest.param(
            f"```bash\npip install x\n```\nthen\n```python\n{CODE}\n```\n```python\nadd(1, 2)\n```",
            f"{CODE}\n",
            id="several blocks",
        ),
        pytest.param(
            "```python\nx = 1\n```\nor\n```python\ny = 2\n```", "x = 1\n", id="none defines it"
        ),
        pytest.param("", "", id="nothing"),
        pytest.param("```", "", id="only the closing fence"),
    ],
)
def test_extraction(completion: str, program: str) -> None:
    found = extract(completion, make())
    assert found.program == program
    assert "".join(completion[s : s + n] for _, s, n in found.pieces) == program


def test_block_that_defines_the_entry_point_is_chosen_whole_name_only() -> None:
    completion = f"```python\ndef add_all(xs):\n    pass\n```\n```python\n{CODE}\n```"
    assert extract(completion, make()).program == f"{CODE}\n"
    completion = f"```python\nx = 1\n```\n```python\nasync {CODE}\n```"
    assert extract(completion, make()).program == f"async {CODE}\n"


def test_program_without_entry_point_is_the_last_block() -> None:
    completion = "```python\nprint(1)\n```\n```python\nprint(2)\n```"
    assert extract(completion, make(**STDIN)).program == "print(2)\n"


def test_body_alone_continues_the_starter() -> None:
    completion = "    return a + b\n```"
    found = extract(completion, make(starter=STARTER))
    assert found.program == f"{STARTER}    return a + b\n"
    assert found.pieces == (Piece(len(STARTER), 0, len("    return a + b\n")),)
    bare = extract(completion, make(starter=STARTER.rstrip("\n")))
    assert bare.program == found.program


def test_whole_function_gets_the_imports_and_helpers_of_the_starter() -> None:
    completion = f"{CODE}\n```"
    found = extract(completion, make(starter=STARTER))
    preamble = STARTER[: STARTER.index("def add")]
    assert found.program == f"{preamble}{CODE}\n"
    assert found.pieces == (Piece(len(preamble), 0, len(CODE) + 1),)
    compile(found.program, "program", "exec")


@pytest.mark.parametrize("starter", ["", STARTER])
@pytest.mark.parametrize("before", ["", "Sure!\n```python\n", "Möglich: ✓\n```python\n"])
def test_start_maps_every_character(before: str, starter: str) -> None:
    completion = f"{before}{CODE}\n```\nDone"
    found = extract(completion, make(starter=starter))
    (piece,) = found.pieces
    assert found.program[piece.at :] == f"{CODE}\n"
    assert completion[piece.source :][: piece.length] == f"{CODE}\n"


def test_task_text_shows_starter_statement_and_examples_once() -> None:
    assert "reads from standard input" in task_text(make(**STDIN))
    with_starter = task_text(make(starter=STARTER))
    assert with_starter.startswith("Write `add(a, b)`")
    assert STARTER.rstrip() in with_starter
    same = task_text(make(starter=STARTER, statement=STARTER))
    assert same.count("def add") == 1
    examples = task_text(make(examples="assert add(1, 2) == 3"))
    assert "named `add`" in examples
    assert "assert add(1, 2) == 3" in examples


def test_chat_models_get_their_template_and_an_opened_block(chat: Policy) -> None:
    text = chat.prompts.text(make(), "Recalled.\n")
    assert text.startswith("<|im_start|>user\nRecalled.\n\nWrite `add(a, b)`")
    assert text.endswith("<|im_start|>assistant\n```python\n")


def test_answer_is_what_extraction_gives_back() -> None:
    assert extract(FORMS["chat"].target(make(), f"{CODE}\n\n"), make()).program == f"{CODE}\n"


def test_recalled_text_is_dropped_before_the_task_is_cut(chat: Policy) -> None:
    problem = make()
    alone = tuple(chat.encode(chat.prompts.text(problem)))
    both = tuple(chat.encode(chat.prompts.text(problem, "Recalled.")))

    def limited(tokens: int) -> PromptEncoder:
        return replace(chat.prompts, max_tokens=tokens)

    assert limited(len(both)).encode(problem, "Recalled.") == both
    assert limited(len(both) - 1).encode(problem, "Recalled.") == alone
    assert limited(len(alone)).encode(problem) == alone
    assert limited(len(alone)).fits(problem)
    assert not limited(len(alone) - 1).fits(problem)
    assert limited(len(alone) - 1).fit(problem, "Recalled.") is None
    with pytest.raises(UserError, match=rf"builtin/add: its prompt has {len(alone)} tokens"):
        limited(len(alone) - 1).encode(problem, "Recalled.")
