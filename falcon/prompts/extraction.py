"""Extraction: from a completion to the program in it, and where its characters stand.

Candidates are the code blocks of the answer. For a function problem the last one that defines the
function and parses is the program: models correct drafts. What it lacks is taken from the other
blocks and from the starter. Nothing is run.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from falcon.problems.syntax import defined_names, parse
from falcon.prompts.blocks import Block, Ranges, blocks, with_fences
from falcon.prompts.excerpt import Excerpt, Piece
from falcon.prompts.tail import line_edges, program_end
from falcon.prompts.thought import answer_start

if TYPE_CHECKING:
    from falcon.problems.problem import Problem

_OPENED = "```python\n"
_CODE = frozenset({"", "python", "python3", "py", "python2", "pycon", "starlark"})
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})(?P<info>.*)$", re.MULTILINE)
_BARE = re.compile(r"[ \t]*\r?")
_LEADING_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*\r?\n")
_GLUED_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_CONSOLE = re.compile(r"^(?:>>> ?|\.\.\. ?)", re.MULTILINE)
_FIRST_CODE = re.compile(
    r"^(?:from [\w.]+ import |import \w[\w., ]*$|(?:async )?def \w+\(|class \w+[:(]|@\w)",
    re.MULTILINE,
)
_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True)
class Extraction:
    """The program of a completion, and where its characters stand there.

    What no piece covers (imports and helpers of the prompt) was put before what the model wrote.
    """

    program: str
    pieces: tuple[Piece, ...]


def extract(completion: str, problem: Problem) -> Extraction:
    """The program of an answer.

    An answer that only holds an indented body continues the starter. Examples and torn code
    behind a function are cut off (:mod:`falcon.prompts.tail`).
    """
    begin = answer_start(completion)
    answer = completion[begin:]
    best: tuple[int, Excerpt, list[Excerpt]] = -1, Excerpt.slice(answer, 0, len(answer)), []
    for codes in _readings(answer):
        ranked = [(_rank(code, problem), code) for code in codes]
        top = max((rank for rank, _ in ranked), default=0)
        if ranked and top > best[0]:
            # Of drafts the last; of blocks that are none of them, the first.
            fitting = [code for rank, code in ranked if rank == top]
            best = top, fitting[-1 if top else 0], [code for _, code in ranked]
        if top == _WHOLE:
            break
    rank, code, others = best
    others = [other.moved(begin) for other in others]
    return _assembled(code.moved(begin), others, problem, defines=rank > 0)


_WHOLE = 2
"""The rank of code that is a program: it parses and defines what is asked for."""


def _readings(answer: str) -> Iterator[list[Excerpt]]:
    """The codes of an answer, each time read in another way."""
    whole = Excerpt.slice(answer, 0, len(answer))
    fence = _FENCE.search(with_fences(answer))
    if fence is None:
        yield [whole]
    # A first fence that names no language, behind words, closes a block that the prompt opened.
    elif _BARE.fullmatch(fence["info"]) and answer[: fence.start()].strip():
        yield _opened(answer)
        yield _codes(answer)
    else:
        yield _codes(answer)
        yield _opened(answer)
    yield _codes(answer, anywhere=True)
    if fence is None and (first := _FIRST_CODE.search(answer)):
        yield [whole.cut(first.start(), len(answer))]  # behind words


def _opened(answer: str) -> list[Excerpt]:
    """The codes of an answer to a prompt that opened a block."""
    return [code.moved(-len(_OPENED)) for code in _codes(_OPENED + answer)]


def _codes(text: str, *, anywhere: bool = False) -> list[Excerpt]:
    """The code of each block that may be Python; ``anywhere`` as in :func:`blocks`."""
    found = blocks(text, anywhere=anywhere)
    python = [block for block in found if block.info.split(" ")[0].strip("{.}") in _CODE]
    return [_repaired(text, block) for block in python or found]


def _repaired(text: str, block: Block) -> Excerpt:
    """The code of a block, without a second opening fence, and up to the fence that closes it."""
    code = _of(text, block.ranges)
    if not _parses(code.text):
        for ranges in block.later:
            if _parses((longer := _of(text, ranges)).text):
                return longer
        if glued := _GLUED_FENCE.search(code.text):
            return code.cut(0, glued.start())
        if code.text.lstrip().startswith(">>>"):
            return _typed(code)
    return code


def _of(text: str, ranges: Ranges) -> Excerpt:
    code = Excerpt.of(text, ranges)
    again = _LEADING_FENCE.match(code.text)
    return code.cut(again.end(), len(code.text)) if again else code


def _typed(code: Excerpt) -> Excerpt:
    """What was typed in a session of the interpreter, without what it printed."""
    typed = Excerpt("")
    for start, end in pairwise(line_edges(code.text)):
        if prompt := _CONSOLE.match(code.text[start:end]):
            typed += code.cut(start + prompt.end(), end)
    return typed


def _rank(code: Excerpt, problem: Problem) -> int:
    """2 for a program, 1 for what defines the function but does not parse, else 0."""
    name = problem.entry_point
    if problem.uses_stdin or not name:
        return _WHOLE if _does_something(code.text) else 0
    if not re.search(rf"^[ \t]*(?:async )?(?:def|class) {re.escape(name)}\b", code.text, re.M):
        return 0
    return _WHOLE if _parses(code.text[: program_end(code.text, problem)]) else 1


def _parses(code: str) -> bool:
    try:
        parse(code)
    except SyntaxError:
        return False
    return True


def _does_something(code: str) -> bool:
    """Whether code is more than words or numbers, such as an input that is shown."""
    try:
        body = parse(code).body
    except SyntaxError:
        return False
    plain = (ast.Constant, ast.Name, ast.Tuple, ast.List, ast.BinOp, ast.UnaryOp)
    return any(not (isinstance(n, ast.Expr) and isinstance(n.value, plain)) for n in body)


def _assembled(
    code: Excerpt, others: Sequence[Excerpt], problem: Problem, *, defines: bool
) -> Extraction:
    """The code behind what the prompt and other blocks have for it. ``defines``: what is asked."""
    # An indented first line cannot begin a program, but it can go on with the starter's function.
    body_alone = problem.entry_point and not defines and code.text[:1] in (" ", "\t")
    if body_alone and problem.starter:
        starter = problem.starter if problem.starter.endswith("\n") else problem.starter + "\n"
        return _without_tail(Excerpt(starter), code, problem)
    first = _future_end(code.text)  # which must stay in front
    head, rest = code.cut(0, first), code.cut(first, len(code.text))
    before = Excerpt(_preamble(problem))
    given = before.text + code.text
    needed = _needed(given[: program_end(given, problem)], code, others)
    return _without_tail(head + before + needed, rest, problem)


def _preamble(problem: Problem) -> str:
    """Imports and helpers that a starter has before the function to complete."""
    if not problem.entry_point or not problem.starter:
        return ""
    definition = rf"^(?:async )?def {re.escape(problem.entry_point)}\b"
    match = re.search(definition, problem.starter, re.MULTILINE)
    return problem.starter[: match.start()] if match else ""


def _future_end(code: str) -> int:
    """Characters up to the end of the imports from ``__future__``, if there are any."""
    if "__future__" not in code:
        return 0
    try:
        body = parse(code).body
    except SyntaxError:
        return 0
    lines = [n.end_lineno or 0 for n in body if getattr(n, "module", "") == "__future__"]
    return line_edges(code)[lines[-1]] if lines else 0


def _needed(program: str, code: Excerpt, others: Sequence[Excerpt]) -> Excerpt:
    """Imports, functions, classes and constants of other blocks that a program of ``code`` lacks."""
    wanted = _unbound(program)
    at = next((n for n, other in enumerate(others) if other == code), len(others))
    # What stands before the program first, and of that the last.
    order = [*reversed(others[:at]), *others[at + 1 :]]
    found, known = Excerpt(""), set[str]()
    while wanted:
        known |= wanted
        text = sum((part for other in order for part in _binding(other, wanted)), Excerpt(""))
        found = text + found
        wanted = _unbound(text.text) - known
    return found


def _binding(code: Excerpt, wanted: set[str]) -> Iterator[Excerpt]:
    """Statements at the top level of a block that bind a name of ``wanted``, which they leave."""
    try:
        tree = parse(code.text)
    except SyntaxError:
        return
    edges = line_edges(code.text)
    for node in tree.body:
        bound = defined_names(ast.Module([node], []))
        if bound & wanted:
            wanted -= bound
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            part = code.cut(edges[first - 1], edges[node.end_lineno or node.lineno])
            yield part if part.text.endswith("\n") else part + Excerpt("\n")


def _unbound(code: str) -> set[str]:
    """Names that code reads and nothing binds in it."""
    try:
        tree = parse(code)
    except SyntaxError:
        return set()
    read, bound = set[str](), defined_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif name := getattr(node, "name", None):  # functions, classes, handlers, patterns
            bound.add(name)
    return read - bound - _BUILTINS


def _without_tail(before: Excerpt, code: Excerpt, problem: Problem) -> Extraction:
    """The program without examples and torn code behind it; ``before`` stays."""
    whole = before + code
    program = whole.cut(0, program_end(whole.text, problem, len(before.text)))
    return Extraction(program.text, program.pieces)


def before_stop(completion: str, stops: tuple[str, ...]) -> str:
    """What precedes the first of ``stops``.

    The end of the last line belongs to it, also where a stop begins with it.
    """
    positions = ((completion.find(stop), stop) for stop in stops)
    ends = [at + stop.startswith("\n") for at, stop in positions if at >= 0]
    return completion[: min(ends, default=len(completion))]


def extract_before_stop(
    completion: str, problem: Problem, stops: tuple[str, ...], starter: str = ""
) -> Extraction:
    """What precedes the first of ``stops``, behind the ``starter`` that it continues."""
    code = before_stop(completion, stops)
    return _without_tail(Excerpt(starter), Excerpt.slice(code, 0, len(code)), problem)
