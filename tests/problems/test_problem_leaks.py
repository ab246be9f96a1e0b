"""Duplicates within a set and leaks between two."""

from __future__ import annotations

import numpy as np
import pytest

from falcon.problems import find_duplicates, find_leaks
from falcon.problems.canonical import code_shape

TALE = (
    "The miller weighs flour sacks every morning and writes their masses on slate; find the "
    "heaviest pair whose combined mass still fits on the donkey."
)


def _leaks(train, held_out, encode=None, similarity=0.9):
    return find_leaks(train, held_out, ngram=13, similarity=similarity, encode=encode)


def test_duplicates_by_id_statement_and_renamed_reference(make_problem):
    loop = "def {f}({a}):\n    '''{d}'''\n    {t} = 1\n    for {i} in {a}:\n        {t} *= {i}\n    return {t}\n"
    problems = [
        make_problem("a", statement="Sum of 3 apples!", solutions=[]),
        make_problem("b", statement="sum  of 4 Apples", solutions=[]),
        make_problem("c", solutions=[loop.format(f="c", a="xs", t="t", i="i", d="One.")]),
        make_problem("d", solutions=["", loop.format(f="d", a="v", t="out", i="k", d="Two.")]),
        make_problem("e", solutions=[loop.format(f="e", a="v", t="out", i="k", d="").replace("*=", "+=")]),
        make_problem("a", statement="Something else entirely", solutions=[]),
    ]  # fmt: skip
    assert find_duplicates(problems) == [
        ("builtin/a", "builtin/b"),
        ("builtin/c", "builtin/d"),
        ("builtin/a", "builtin/a"),
    ]


def test_shape_keeps_builtins_and_constants_apart():
    assert code_shape("def f(x: int) -> int:\n    return max(x, 1)") == code_shape(
        "# comment\ndef g(y):\n    return max(y, 1)"
    )
    assert code_shape("def f(x): return max(x, 1)") != code_shape("def f(x): return min(x, 1)")
    assert code_shape("def f(x): return max(x, 1)") != code_shape("def f(x): return max(x, 2)")
    assert code_shape("def f(x, y): return x - y") != code_shape("def f(x, y): return y - x")


def test_a_shared_run_of_words_is_a_leak(make_problem):
    train = make_problem("a", statement=f"Hear this. {TALE.upper()}")
    held = make_problem("b", statement=TALE, split="test")
    far = make_problem("c", statement=TALE[:60], split="test")
    (leak,) = _leaks([train], [held, far])
    assert (leak.train_id, leak.held_out_id, leak.kind) == ("builtin/a", "builtin/b", "ngram")
    assert leak.evidence == " ".join(TALE.lower().replace(";", "").split()[:13])
    assert leak.cosine is None


def test_equal_solutions_leak_however_short(make_problem):
    train = make_problem("a", solutions=["def f(x: int):\n    'A.'\n    return x + 1"])
    same = make_problem("b", split="test", solutions=["def f(x):\n    return x+1  # B"])
    other = make_problem("c", split="test", solutions=["def f(x):\n    return x+2"])
    assert [leak.held_out_id for leak in _leaks([train], [same, other])] == ["builtin/b"]


def test_a_statement_of_common_words_leaks_when_equal(make_problem):
    plain = "Write a function to check if the given number is a woodall number or not."
    assert _leaks([make_problem("a", statement=plain)], [make_problem("b", statement=plain)])
    near = plain.replace("woodall", "harshad")
    assert not _leaks([make_problem("a", statement=plain)], [make_problem("b", statement=near)])


def test_a_short_statement_leaks_when_equal(make_problem):
    train = make_problem("a", statement="Reverse the given garland.")
    assert _leaks([train], [make_problem("b", statement="reverse the GIVEN garland", split="test")])
    assert not _leaks(
        [train], [make_problem("b", statement="Reverse the given tree", split="test")]
    )


def test_a_shared_solution_is_a_leak_and_comments_are_not(make_problem):
    body = (
        "    weights = sorted(sacks)\n    heaviest, low, high = 0, 0, len(weights) - 1\n"
        "    while low < high:\n        mass = weights[low] + weights[high]\n"
        "        heaviest = max(heaviest, mass)\n        low += 1\n    return heaviest\n"
    )
    train = make_problem("a", solutions=[f"def a(sacks):\n{body}"])
    held = make_problem("b", split="test", solutions=[f"def b(sacks):\n    # other\n{body}"])
    (leak,) = _leaks([train], [held])
    assert "weights" in leak.evidence
    quoted = "def {}(x):\n    '''{}'''\n    return {}\n"
    train = make_problem("a", solutions=[quoted.format("a", TALE, 1)])
    held = make_problem("b", split="test", solutions=[quoted.format("b", TALE, 2)])
    assert not _leaks([train], [held])


def test_runs_never_cross_from_statement_to_solution(make_problem):
    code = "\n".join(f"{word.lower()}_ = 1" for word in TALE.split()[:13] if word.isalpha())
    train = make_problem("a", statement=code, solutions=[])
    held = make_problem("b", split="test", solutions=[code])
    assert not _leaks([train], [held])


@pytest.mark.parametrize(
    "shared",
    [
        "The first line of standard input is an integer n, 0 or more. Each of the next n lines",
        "from typing import Alpha, Bravo, Carol, Delta, Echo, Foxtrot, Golf, Hotel, India, Julia, Kilo",
        "Example: [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28]",
    ],
)
def test_forms_of_tasks_are_no_leak(make_problem, shared):
    train = make_problem("a", statement=f"Count plums.\n{shared}\nholds plums.", solutions=[])
    held = make_problem("b", statement=f"Weigh pears.\n{shared}\nis pears.", split="test")
    assert not _leaks([train], [held])


def test_idioms_of_code_are_no_leak(make_problem):
    loops = "def {f}(n):\n    t = 0\n    for i in range(n):\n        for j in range(n):\n            for k in range(n):\n                t += {e}\n    return t\n"  # fmt: skip
    train = make_problem("a", solutions=[loops.format(f="a", e="i * j")])
    held = make_problem("b", split="test", solutions=[loops.format(f="b", e="j - k")])
    assert not _leaks([train], [held])


def test_what_many_held_out_problems_share_is_boilerplate(make_problem):
    train = make_problem("a", statement=TALE)
    held = [make_problem(f"h{i}", statement=TALE, split="test") for i in range(6)]
    assert len(_leaks([train], held[:5])) == 5
    assert not _leaks([train], held)
    assert len(_leaks([make_problem(f"t{i}", statement=TALE) for i in range(9)], held[:1])) == 9


def test_embeddings_are_compared_by_cosine(make_problem):
    angles = {"east": 0.0, "nearly east": 0.2, "north": np.pi / 2}

    def encode(texts):
        return np.array([[3 * np.cos(angles[t]), 3 * np.sin(angles[t])] for t in texts])

    train = [make_problem(t[:2], statement=t, solutions=[]) for t in ("north", "nearly east")]
    held = [make_problem("h", statement="east", split="test", solutions=[])]
    (leak,) = _leaks(train, held, encode, similarity=0.95)
    assert (leak.train_id, leak.kind) == ("builtin/ne", "embedding")
    assert leak.cosine == pytest.approx(np.cos(0.2), abs=1e-6)
    assert leak.evidence == "cosine 0.980"
    assert _leaks(train, held, encode, similarity=0.99) == []
    assert len(_leaks(held, held, encode, similarity=1.0)) == 1


def test_nothing_to_compare(make_problem):
    def encode(texts):
        raise AssertionError("nothing to encode")

    assert _leaks([], [make_problem("a", split="test")], encode) == []
    assert _leaks([make_problem("a")], [], encode) == []
