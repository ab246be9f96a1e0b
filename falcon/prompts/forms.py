"""Prompt forms: how a problem becomes a prompt, what ends an answer, where the program is in it.

A form is one choice for all benchmarks and for training. Its version is recorded with every
score and changes with any text here: scores of different versions are not comparable.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from falcon.errors import UserError
from falcon.prompts.extraction import Extraction, before_stop, extract, extract_before_stop
from falcon.prompts.fences import FENCE, fence_around

if TYPE_CHECKING:
    from falcon.problems.problem import Problem

_TOP_LEVEL = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""What may follow a complete function (Chen et al. 2021)."""
_AFTER_DOCUMENTED = ("\nclass", "\nassert", '\n"""', "\nprint", "\nif", "\n<|/", "\n" + FENCE)
"""What may follow a function of MBPP (bigcode-evaluation-harness)."""
SHOTS = ("mbpp/2", "mbpp/3", "mbpp/4")
"""The worked examples of Austin et al. 2021."""


class Form(ABC):
    """One way to put a problem. ``name`` is the setting; ``version`` is recorded with scores."""

    name: ClassVar[str]
    version: ClassVar[str]
    begins: ClassVar[bool] = False
    """Whether the tokenizer's begin token goes first; a chat template has its own."""
    chat: ClassVar[bool] = False
    """Whether prompts are turns of a chat, so that the tokenizer needs a template."""
    stop: ClassVar[tuple[str, ...]] = ()
    """Texts that end every answer, whatever the problem."""

    @property
    def key(self) -> str:
        """The version, and a digest of texts that come from files, if any do."""
        return self.version

    @abstractmethod
    def text(self, tokenizer: Any, problem: Problem, recall_text: str = "") -> str:
        """The whole prompt. Recall text goes before the task."""

    def stops(self, problem: Problem) -> tuple[str, ...]:
        """Texts that end an answer to this problem, beside the model's own end token."""
        return self.stop

    def extract(self, completion: str, problem: Problem) -> Extraction:
        """The program of a completion: the block that defines the entry point, or all of it."""
        return extract(completion, problem)

    def target(self, problem: Problem, program: str) -> str:
        """A reference program as the completion that the prompt asks for (the target of eq. 2)."""
        return program.strip()


def task_text(problem: Problem) -> str:
    """The task in words: statement, starter code or visible examples, and what to write."""
    if problem.uses_stdin:
        return (
            f"{problem.statement.strip()}\n\n"
            "Write a Python program that reads from standard input and prints the answer."
        )
    if problem.starter:
        starter = f"Complete this function:\n{FENCE}python\n{problem.starter.rstrip()}\n{FENCE}"
        # Some starters hold the task in their doc string: then it is said once.
        complete = problem.statement.strip() in problem.starter
        return starter if complete else f"{problem.statement.strip()}\n\n{starter}"
    text = f"{problem.statement.strip()}\n\nWrite a Python function"
    text += f" named `{problem.entry_point}`." if problem.entry_point else "."
    if problem.examples:
        text += f" It must pass:\n{FENCE}python\n{problem.examples.strip()}\n{FENCE}"
    return text


def _after(recall_text: str, text: str) -> str:
    return f"{recall_text.rstrip()}\n\n{text}" if recall_text else text


def in_template(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> str:
    """Turns of a chat as the tokenizer's template has them, and the beginning of an answer.

    Raises UserError for a template that cannot be used: it is a program of the model's files.
    """
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
        )
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as fault:
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:160]
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template cannot be used ({reason}).",
            hint="Correct chat_template, or set policy.prompt: completion.",
        ) from fault


class OpenChat(Form):
    """A user turn in the model's chat template; the model opens its own code block, or none.

    A system turn is what the template itself puts there.
    """

    name = "chat-open"
    version = "chat-open-1"
    chat = True

    def text(self, tokenizer: Any, problem: Problem, recall_text: str = "") -> str:
        """The template's text. Raises UserError for a tokenizer without a template."""
        self.require_template(tokenizer)
        turn = {"role": "user", "content": self.user_turn(problem, recall_text)}
        return in_template(tokenizer, [turn]) + self.answer_begins()

    def user_turn(self, problem: Problem, recall_text: str) -> str:
        """What the user says."""
        return _after(recall_text, task_text(problem))

    def answer_begins(self) -> str:
        """The first words of the answer, which the model goes on with."""
        return ""

    def target(self, problem: Problem, program: str) -> str:
        """The program as a code block."""
        return f"{FENCE}python\n{program.strip()}\n{FENCE}"

    def require_template(self, tokenizer: Any) -> None:
        """Raise UserError for a tokenizer without a chat template."""
        if not getattr(tokenizer, "chat_template", None):
            raise UserError(
                f"policy.prompt: {self.name}: the model's tokenizer has no chat template.",
                hint="Use auto or completion.",
            )


class Chat(OpenChat):
    """A user turn in the model's chat template, with an opened Python code block."""

    name = "chat"
    version = "chat-fence-1"
    stop: ClassVar[tuple[str, ...]] = ("\n" + FENCE,)  # closes the block that the prompt opens

    def answer_begins(self) -> str:
        """An opened block."""
        return f"{FENCE}python\n"

    def target(self, problem: Problem, program: str) -> str:
        """The program and the fence after it."""
        return f"{program.strip()}\n{FENCE}"


class EvalPlus(Chat):
    """EvalPlus's own words for chat models (0.3.1), in which many scores are published.

    Its task is the benchmark's own prompt: code with a doc string for HumanEval, a doc string with
    the visible test for MBPP. Other tasks are put as in ``chat``, between the same words.
    """

    name = "evalplus"
    version = "evalplus-1"
    stop = ("\n" + FENCE + "\n", "\nif __name__", "\ndef main(", "\nprint(")

    def user_turn(self, problem: Problem, recall_text: str) -> str:
        """What the user says."""
        if _continues(problem):
            task = problem.starter
        else:
            task = _doc_string(problem) if _documented(problem) else task_text(problem)
        fence = fence_around(task)
        return _after(
            recall_text,
            "Please provide a self-contained Python script that solves the following problem in a"
            f" markdown code block:\n{fence}\n{task.strip()}\n{fence}\n",
        )

    def answer_begins(self) -> str:
        """A sentence and an opened block."""
        return (
            "Below is a Python script with a self-contained function that solves the problem and"
            f" passes corresponding tests:\n{FENCE}python\n"
        )

    def stops(self, problem: Problem) -> tuple[str, ...]:
        """Of a program that reads standard input, only the closing fence: the others begin it."""
        return self.stop[:1] if problem.uses_stdin else self.stop

    def extract(self, completion: str, problem: Problem) -> Extraction:
        """What precedes the first stop, without examples behind the function."""
        return extract(before_stop(completion, self.stops(problem)), problem)

    def target(self, problem: Problem, program: str) -> str:
        """The program and the fence after it, up to the end of its line."""
        return f"{program.strip()}\n{FENCE}\n"


class Apps(Form):
    """The format of APPS (Hendrycks et al. 2021), for every problem."""

    name = "apps"
    version = "apps-1"

    def text(self, tokenizer: Any, problem: Problem, recall_text: str = "") -> str:
        """QUESTION, the kind of program, ANSWER."""
        kind = "Use Standard Input format" if problem.uses_stdin else "Use Call-Based format"
        return f"\nQUESTION:\n{_after(recall_text, task_text(problem))}\n{kind}\nANSWER:\n"


class Continuation(Form):
    """Code for the model to continue, for models without a chat template.

    A starter that holds the whole task (HumanEval's prompt) is the prompt. Where there is no
    starter, a doc string of the task and its visible example is: the zero-shot form of
    bigcode-evaluation-harness for MBPP, and EvalPlus's own prompts of MBPP+. All other problems
    are put in the format of APPS.
    """

    name = "completion"
    version = "completion-1"
    begins = True
    _other = Apps()  # for problems that no code leads up to

    def text(self, tokenizer: Any, problem: Problem, recall_text: str = "") -> str:
        """The code to continue."""
        if _continues(problem):
            return _after(recall_text, problem.starter)
        if _documented(problem):
            return _after(recall_text, _doc_string(problem))
        return self._other.text(tokenizer, problem, recall_text)

    def stops(self, problem: Problem) -> tuple[str, ...]:
        """Beginnings of code that no longer belongs to the function."""
        if _continues(problem):
            return _TOP_LEVEL
        return _AFTER_DOCUMENTED if _documented(problem) else self._other.stops(problem)

    def extract(self, completion: str, problem: Problem) -> Extraction:
        """What precedes the first stop, behind the starter where the prompt was the starter."""
        if _continues(problem):
            return extract_before_stop(completion, problem, _TOP_LEVEL, problem.starter)
        if _documented(problem):
            return extract_before_stop(completion, problem, _AFTER_DOCUMENTED)
        return self._other.extract(completion, problem)

    def target(self, problem: Problem, program: str) -> str:
        """What follows the starter, or the whole program."""
        if _continues(problem) and program.startswith(problem.starter):
            return program[len(problem.starter) :].rstrip()
        return super().target(problem, program)


def _continues(problem: Problem) -> bool:
    return bool(problem.starter) and problem.statement.strip() in problem.starter


def _documented(problem: Problem) -> bool:
    return not (problem.uses_stdin or problem.starter or problem.source == "apps")


def _doc_string(problem: Problem) -> str:
    lines = [problem.statement.strip()]
    if problem.examples:
        lines.append(problem.examples.strip())
    elif problem.entry_point and problem.entry_point not in problem.statement:
        lines.append(f"The function is named `{problem.entry_point}`.")
    quoted = "\n".join(lines).replace('"""', "'''")  # the task must not end the doc string
    return f'"""\n{quoted}\n"""\n'


@dataclass(frozen=True)
class FewShot(Continuation):
    """MBPP with three worked examples and all tests shown (Austin et al. 2021), for scoring.

    The examples come from the benchmark's own file (tasks 2, 3 and 4, its prompt split).
    Problems of other benchmarks are completed without examples.
    """

    shots: tuple[Problem, ...] = ()
    name = "few-shot"
    version = "few-shot-1"

    @property
    def key(self) -> str:
        """The version and a digest of the examples."""
        texts = "\0".join(shot.model_dump_json() for shot in self.shots)
        return f"{self.version}-{hashlib.sha256(texts.encode()).hexdigest()[:12]}"

    def text(self, tokenizer: Any, problem: Problem, recall_text: str = "") -> str:
        """The examples, the task and its tests. Raises UserError without examples."""
        if problem.source != "mbpp":
            return super().text(tokenizer, problem, recall_text)
        if not self.shots:
            raise UserError(
                "policy.prompt: few-shot: there are no examples.",
                hint="Score mbpp:PATH with a file that holds tasks 2, 3 and 4.",
            )
        examples = [
            f"{_with_tests(shot)}{shot.solutions[0].strip()}\n[DONE]\n\n" for shot in self.shots
        ]
        return _after(recall_text, f"{''.join(examples)}{_with_tests(problem)}")

    def stops(self, problem: Problem) -> tuple[str, ...]:
        """The mark that ends each example."""
        return ("[DONE]",) if problem.source == "mbpp" else super().stops(problem)

    def extract(self, completion: str, problem: Problem) -> Extraction:
        """What precedes the mark."""
        if problem.source == "mbpp":
            return extract_before_stop(completion, problem, self.stops(problem))
        return super().extract(completion, problem)

    def target(self, problem: Problem, program: str) -> str:
        """The program and the mark."""
        if problem.source == "mbpp":
            return f"{program.strip()}\n[DONE]"
        return super().target(problem, program)


def _with_tests(problem: Problem) -> str:
    tests = problem.tests.asserts if problem.tests.kind == "code" else (problem.examples,)
    return (
        f"You are an expert Python programmer, and here is your task: {problem.statement.strip()}"
        f" Your code should pass these tests:\n\n{chr(10).join(tests)}\n[BEGIN]\n"
    )


FORMS: dict[str, Form] = {
    form.name: form for form in (Chat(), OpenChat(), EvalPlus(), Continuation(), FewShot(), Apps())
}
"""Every form by its setting."""

MEASURED = {"qwen2.5-coder-0.5b-instruct": "chat", "smollm2-135m-instruct": "chat"}
"""The form in which a chat model scores best, by the beginning of its name without an owner, in
lower case: what ``auto`` takes. For all other models with a chat template that is ``chat``."""


def form_of_version(version: str) -> Form:
    """The form of a recorded version. Raises UserError for an unknown one."""
    for form in FORMS.values():
        if form.version == version:
            return form
    raise UserError(
        f"Samples made with the prompt `{version}`, which this version does not know.",
        hint=f"Known: {', '.join(form.version for form in FORMS.values())}. Make them anew.",
    )


def choose(name: str, tokenizer: Any, *, seq2seq: bool, model: str = "") -> Form:
    """The form of a ``policy.prompt`` setting for a model, known by its ``model`` setting.

    ``auto`` is what was measured to suit a chat model (:data:`MEASURED`), and completion for models
    without a chat template; for encoder-decoder models, which do not continue a text, the format of
    APPS. Raises UserError for an unknown name and for a chat form without a template.
    """
    if name == "auto":
        if getattr(tokenizer, "chat_template", None):
            name = measured_form(model)
        else:
            name = "apps" if seq2seq else "completion"
    if name not in FORMS:
        valid: Sequence[str] = ("auto", *FORMS)
        raise UserError(
            f"policy.prompt: there is no prompt `{name}`.", hint=f"Valid: {', '.join(valid)}."
        )
    form = FORMS[name]
    if isinstance(form, OpenChat):
        form.require_template(tokenizer)
    return form


def measured_form(model: str) -> str:
    """The name of the form for a chat model: a package, a folder, a GGUF file or a hub name."""
    own = model.rstrip("/").rpartition("/")[2].lower()
    return next((form for known, form in MEASURED.items() if own.startswith(known)), "chat")
