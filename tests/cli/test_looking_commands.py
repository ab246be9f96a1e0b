"""``falcon problems``, ``falcon feedback explain`` and ``falcon memory`` as mounted."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from command_memory import experience, remember
from rich.console import Console

from falcon.feedback.explain import lines_of
from falcon.feedback.reward import Reward, Span
from falcon.listing import print_code
from falcon.memory import HashEncoder, LongTermMemory


def test_problems_are_mounted(falcon) -> None:
    done = falcon("problems", "list")
    assert done.code == 0
    assert "builtin/double  train  introductory  call   3" in done.out
    done = falcon("problems", "show", "builtin/duble")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "builtin/double" in done.err


def test_explain_puts_an_error_at_its_line_and_the_rest_below(here: Path, falcon) -> None:
    (here / "p.py").write_text("def double(x):\n    y = x\n    return y / 0\n")
    done = falcon("feedback", "explain", "p.py", "--problem", "builtin/double")
    assert done.code == 0
    assert "runtime_error, 0 of 3 tests pass" in done.out
    lines = done.out.splitlines()
    at = lines.index("   3 |     return y / 0")
    assert lines[at + 1].startswith("     ^ line 3: negative")
    whole = done.out.partition("on the whole program")[2].partition("reported")[0]
    assert "coarse     -0.600" in whole
    assert "no docstring" in whole
    assert "negative" not in whole
    assert "error      zero-division on line 3: division by zero" in done.out


def test_explain_of_a_pass_has_no_error(here: Path, falcon) -> None:
    (here / "p.py").write_text("def double(x):\n    return 2 * x\n")
    done = falcon("feedback", "explain", "p.py", "--problem", "builtin/double")
    assert "pass, 3 of 3 tests pass" in done.out
    assert "error      +1.000" in done.out.partition("on the whole program")[2]
    assert "\nerror      zero-division" not in done.out
    assert "^ line" not in done.out


def test_a_span_over_lines_ends_where_it_ends() -> None:
    text = "ab\ncd\nef"
    found = [
        lines_of(Reward(term="error", value=1, span=Span(start=a, end=b), reason=""), text)
        for a, b in ((0, 2), (3, 5), (1, 4), (3, 8))
    ]
    assert found == [(1, 1), (2, 2), (1, 2), (2, 3)]
    assert lines_of(Reward(term="error", value=1, span=None, reason=""), text) == (0, 0)


def test_memory_is_counted_searched_and_shown(here: Path, falcon) -> None:
    folder = here / "outputs" / "train" / "memory"
    remember(
        folder,
        experience(1, "Sort a list of words by their length."),
        experience(2, "Find the greatest common divisor of two numbers."),
        experience(3, "Reverse every second row of a matrix.", error="name"),
    )
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    counted = falcon("memory", "stats").out
    assert "experiences  3 of 3 problems" in counted
    assert "runtime_error          1" in counted
    assert "name                   1" in counted
    assert "mean 1.167, 0.500 to 1.500" in counted

    hits = falcon("memory", "search", "greatest common divisor", "--top", "2").out.splitlines()
    assert len(hits) == 2
    similarity, key, outcome, score, problem = hits[0].split()[:5]
    assert (outcome, score, problem) == ("pass", "+1.50", "builtin/p2:")
    assert float(similarity) > float(hits[1].split()[0])
    shown = falcon("memory", "show", key).out
    assert "Find the greatest common divisor" in shown
    assert "return x + 2" in shown
    assert "from train, step 2, policy abc" in shown
    assert "passed it" in shown
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert not (folder.parent / "memory.index").exists()  # it would be in the train stage's output

    other = falcon("memory", "search", "matrix rows", "--top", "1").out.split()[1]
    assert "\\x1b[31mdefined" in falcon("memory", "show", other).out
    done = falcon("memory", "show", "zz")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no experiences with key zz" in done.err


def test_a_memory_becomes_a_page(here: Path, falcon) -> None:
    folder = here / "outputs" / "train" / "memory"
    remember(folder, experience(1, "Sum the rows."), experience(2, "Find x.", error="name"))
    done = falcon("memory", "report", "--out", "pages/memory.html")
    assert "2 experiences" in done.out
    page = (here / "pages" / "memory.html").read_text()
    assert page.count("<svg") == 3
    assert "Find x." in page


def test_a_memory_is_exported_and_its_index_made_again(here: Path, falcon) -> None:
    folder = here / "outputs" / "train" / "memory"
    remember(folder, experience(1, "Sum the rows."), experience(2, "Find x.", error="name"))
    assert "2 experiences" in falcon("memory", "export", "all.parquet").out
    table = pd.read_parquet(here / "all.parquet")
    assert table["error_type"].tolist() == ["", "name"]
    assert "2 texts of 2 experiences" in falcon("memory", "rebuild").out
    assert list((here / "state" / "index" / "search").glob("generation-*"))


def test_a_memory_is_pruned_to_the_most_valuable_and_can_be_brought_back(here, falcon) -> None:
    folder = here / "outputs" / "train" / "memory"
    told = [experience(n, f"Task {n}.", error="" if n % 2 else "name") for n in range(1, 7)]
    same = [e.model_copy(update={"problem_id": "builtin/one"}) for e in told]
    remember(folder, *same)
    assert "nothing to prune" in falcon("memory", "prune", "--keep", "6").out
    assert "2 of 6" in falcon("memory", "prune", "--keep", "2", "--out", here / "small").out
    assert "experiences  6 of 1" in falcon("memory", "stats").out
    assert "2 of 6" in falcon("memory", "prune", "--keep", "2").out
    said = falcon("memory", "stats").out
    assert "experiences  2 of 1 problems" in said
    assert "pruned       4 more" in said
    assert "name                   3" in said  # P_error still knows them
    with LongTermMemory.open(folder, HashEncoder(), writable=True) as memory:
        assert memory.append(same) == 0  # and they are not tried for nothing again
        assert sorted(e.verdict.passed for e in memory) == [False, True]
        refused = falcon("memory", "prune", "--keep", "1")
    assert refused.code == 2
    assert "memory.before already exists" in refused.err
    assert not folder.with_name("memory.pruned").exists()
    (folder.parent / "memory.before").rename(here / "back")
    with LongTermMemory.open(here / "back", HashEncoder()) as before:
        assert list(before) == same
        with LongTermMemory.open(folder, HashEncoder(), writable=True):
            refused = falcon("memory", "prune", "--keep", "1")
    assert "another writer" in refused.err


def test_without_a_memory_it_says_what_to_do(here: Path, falcon) -> None:
    for words in (
        ("stats",),
        ("search", "x"),
        ("show", "a", "--folder", here / "none"),
        ("export", "x.parquet"),
        ("rebuild",),
        ("prune", "--keep", "3"),
        ("report",),
    ):
        done = falcon("memory", *words)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "no memory there" in done.err


def test_code_is_coloured_and_harmless_on_a_terminal_and_untouched_on_a_pipe() -> None:
    code = "def f():\n\treturn '\x1b[2J'  # [red]"
    pipe, terminal = io.StringIO(), io.StringIO()
    print_code(Console(file=pipe), code)
    print_code(Console(file=terminal, force_terminal=True, color_system="standard"), code)
    assert pipe.getvalue() == f"{code}\n"
    assert "\x1b[2J" not in terminal.getvalue()
    assert "\\x1b" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()
    assert "[red]" in terminal.getvalue()


def test_a_choice_that_is_not_there_is_one_line_with_the_choices(falcon) -> None:
    done = falcon("study", "memory", "--recall", "nope")
    assert done.code == 2
    assert done.err.strip() == (
        "falcon: Invalid value for '--recall': 'nope' is not one of 'train', 'eval', 'both', 'off'."
    )
