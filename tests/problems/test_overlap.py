"""The overlap of training problems with benchmarks: counts, pairs, reports, the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from falcon.cli.problems import app
from falcon.errors import UserError
from falcon.problems import find_overlap
from falcon.problems.overlap_report import pair_lines, table_rows, write_overlap

TALE = (
    "The miller weighs flour sacks every morning and writes their masses on slate; find the "
    "heaviest pair whose combined mass still fits on the donkey."
)
BODY = (
    "    weights = sorted(sacks)\n    heaviest, low, high = 0, 0, len(weights) - 1\n"
    "    while low < high:\n        mass = weights[low] + weights[high]\n"
    "        heaviest = max(heaviest, mass)\n        low += 1\n    return heaviest\n"
)


def _overlap(train, benchmarks, encode=None, similarity=0.9):
    return find_overlap(train, benchmarks, ngram=13, similarity=similarity, encode=encode)


@pytest.fixture
def found(make_problem):
    train = [
        make_problem("a", statement=f"import sys\nHear <this>: {TALE}", solutions=[]),
        make_problem("b", statement="Weigh.", solutions=[f"import os\ndef b(sacks):\n{BODY}"]),
        make_problem("c", statement="Something of its own."),
    ]
    tests = [
        make_problem("x", statement=f"In other words. {TALE} Then?", solutions=[], split="test"),
        make_problem("y", solutions=[f"def y(sacks):\n    # mine\n{BODY}"], split="test"),
        make_problem("z", statement="Nothing like it.", split="test"),
    ]
    texts = [p.statement for p in (*train, *tests)]
    angles = dict(zip(texts, (0.0, 0.6, 0.9, 0.1, 1.2, 1.5), strict=True))

    def encode(asked):
        return np.array([[np.cos(angles[t]), np.sin(angles[t])] for t in asked])

    return _overlap(train, {"mine": tests, "other": tests[2:]}, encode, similarity=0.99)


def test_counts_by_benchmark_and_sign(found):
    mine, other = found.benchmarks
    assert (mine.benchmark, mine.problems, round(mine.share, 3)) == ("mine", 3, 0.667)
    assert (mine.touched.ngram, mine.touched.embedding, mine.touched.either) == (2, 1, 2)
    assert (mine.training.ngram, mine.training.embedding, mine.training.either) == (2, 1, 2)
    assert (other.problems, other.touched.either, other.share) == (1, 0, 0.0)
    assert table_rows(found)[1] == ("mine", "3", "2", "66.7 %", "2", "1", "2")


def test_a_pair_shows_the_whole_run_where_it_stands(found):
    told, solved = found.pairs
    assert (told.train_id, told.held_out_id, told.place) == (
        "builtin/a",
        "builtin/x",
        "statement",
    )
    assert told.run == " ".join(TALE.lower().replace(";", "").rstrip(".").split())
    assert told.cosine == pytest.approx(np.cos(0.1))
    for text in told.texts:
        assert [part for part, shared in text if shared] == [TALE.rstrip(".")]
    assert "".join(part for part, _ in told.texts[0]).startswith("import sys\nHear <this>")
    assert (solved.place, solved.cosine) == ("solution", None)
    ours, theirs = ("".join(part for part, _ in text) for text in solved.texts)
    assert ours.startswith("def b(sacks)")  # in the form that was compared
    assert "# mine" not in theirs
    assert solved.run.startswith("sacks weights sorted sacks heaviest")
    assert solved.run.endswith("return heaviest")


def test_a_pair_near_by_embedding_alone_shows_both_statements(make_problem):
    train, test = make_problem("a", statement="East."), make_problem("b", statement="Nearly east.")
    found = _overlap([train], {"t": [test]}, lambda texts: np.ones((len(texts), 2)))
    (pair,) = found.pairs
    assert pair.evidence == "cosine 1.000 of the statements"
    assert pair_lines(pair)[1:] == ["  training: East.", "  benchmark: Nearly east."]


def test_boilerplate_is_counted_by_benchmark(make_problem):
    held = [make_problem(f"h{i}", statement=TALE) for i in range(6)]
    train = [make_problem("a", statement=TALE, solutions=[])]
    assert not _overlap(train, {"one": held}).pairs
    assert len(_overlap(train, {"one": held[:3], "two": held[3:]}).pairs) == 6


def test_reports_hold_everything_and_nothing_is_markup(found, tmp_path):
    write_overlap(found, tmp_path / "o.json")
    tree = json.loads((tmp_path / "o.json").read_text())
    assert tree["benchmarks"]["mine"]["touched"] == {"ngram": 2, "embedding": 1, "either": 2}
    assert [p["held_out_id"] for p in tree["pairs"]] == ["builtin/x", "builtin/y"]
    assert TALE in tree["pairs"][0]["train_text"]
    write_overlap(found, tmp_path / "o.html")
    page = (tmp_path / "o.html").read_text()
    assert f"<mark>{TALE.rstrip('.')}</mark>" in page
    assert "Hear &lt;this&gt;" in page
    assert "66.7" in page
    assert "http" not in page  # self-contained
    write_overlap(found, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "o.html").read_bytes()
    with pytest.raises(UserError, match=r"HTML or JSON"):
        write_overlap(found, tmp_path / "o.pdf")


def test_the_command(tmp_path, make_row, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("memory:\n  encoder: hash\n")
    train = write(
        tmp_path / "train.jsonl",
        [make_row("a", statement=TALE, difficulty="competition"), make_row("v", split="valid")],
    )
    test = write(
        tmp_path / "test.jsonl",
        [make_row("b", statement=f"So: {TALE}", split="test"), make_row("q", split="test")],
    )

    def run(*arguments):
        return CliRunner().invoke(app, ["overlap", *arguments], catch_exceptions=True)

    clean = run(f"jsonl:{train}", "humaneval", "--no-embed")
    assert clean.exit_code == 0
    assert clean.stdout.splitlines()[1].split() == [
        "humaneval", "164", "0", "0.0", "%", "0", "-", "0",
    ]  # fmt: skip
    out = tmp_path / "reports" / "o.json"
    dirty = run(f"jsonl:{train}", "humaneval", f"jsonl:{test}", "--no-embed", "--out", str(out))
    assert dirty.exit_code == 1
    assert "builtin/a and builtin/b" in dirty.stdout
    assert "in a row: the miller weighs" in dirty.stdout
    assert [p["benchmark"] for p in json.loads(out.read_text())["pairs"]] == [f"jsonl:{test}"]
    assert run(f"jsonl:{train}", f"jsonl:{test}", "--no-embed", "--ngram", "60").exit_code == 0
    assert "more pair(s)" in run(
        f"jsonl:{train}", f"jsonl:{test}", "--no-embed", "--show", "0"
    ).stdout  # fmt: skip
    for arguments, said in (
        ((f"jsonl:{test}", "humaneval"), "no training problem"),
        ((f"jsonl:{train}", f"jsonl:{train}.gz"), "is not there"),
        ((f"jsonl:{train}", "humaneval", "--out", "o.txt"), "HTML or JSON"),
    ):
        refused = run(*arguments).exception
        assert isinstance(refused, UserError)
        assert said in str(refused)


def test_five_thousand_beside_one_thousand(make_problem):
    rng = np.random.default_rng(0)
    vocabulary = [f"word{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}" for i in range(3000)]  # fmt: skip

    def made(name, count):
        drawn = rng.integers(0, 3000, size=(count, 150))
        texts = [" ".join(vocabulary[k] for k in row) for row in drawn]
        return [make_problem(f"{name}{i}", statement=t, solutions=[]) for i, t in enumerate(texts)]

    train, test = made("t", 5000), made("h", 1000)
    train[-1] = make_problem("copy", statement=f"Again {test[7].statement}", solutions=[])
    found = _overlap(train, {"t": test})
    assert [(p.train_id, p.held_out_id) for p in found.pairs] == [("builtin/copy", "builtin/h7")]
