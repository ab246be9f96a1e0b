from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from falcon.evaluation import write_report
from falcon.evaluation.report import SHOWN, changed
from tests.evaluation import samples

CURVES = pd.DataFrame(
    {"step": [0, 1, 2], "reward/tests": [-0.5, -0.2, 0.1], "valid/reward": [0.0, None, 0.3]}
)


class Balanced(HTMLParser):
    """Checks that every element is closed, and collects what the reader sees."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    table = samples.frame()
    write_report(samples.scores(table), table, CURVES, out)
    return out.read_text()


def parsed(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_holds_the_numbers(html: str) -> None:
    text = re.sub(r"\s+", " ", " ".join(parsed(html).seen))
    assert "25.0" in text  # pass@1 of base on humaneval, %
    assert "7.1 to 59.1" in text  # and its interval, wilson(2, 8)
    assert "+25.0" in text
    assert "0.625" in text  # McNemar
    assert "trai0123" in text
    assert "with recall" in text
    assert "without recall" in text


def test_shows_how_many_answers_were_cut(html: str) -> None:
    seen = [each.strip() for each in parsed(html).seen if each.strip()]
    columns = seen[seen.index("suite") :]
    cut = columns.index("cut, %")
    row = seen[seen.index("humaneval", seen.index("tampered")) :]
    assert row[cut] == "25.0"


def test_nothing_comes_from_elsewhere(html: str) -> None:
    parser = parsed(html)
    assert all(a.startswith("#") for a in parser.addresses)
    assert "<script" not in html
    assert not re.search(r"url\((?!#)|@import", html)
    assert html.count("<svg") == 4
    assert "#010203" not in html
    assert "currentColor" in html
    assert "prefers-color-scheme: dark" in html


def test_programs_are_shown_as_text_beside_each_other(html: str) -> None:
    assert "# base humaneval 1\ndef f(a):\n    return a &lt; 1 &amp; a" in html
    assert "# trained humaneval 1" in html
    assert "AssertionError on line 3: division &lt;by&gt; zero in base" in html


def test_problems_gained_and_lost() -> None:
    found = changed(samples.frame(), "trained", "base")
    assert [i["problem"] for i in found["gained"]] == [
        "humaneval/1",
        "humaneval/2",
        "humaneval/7",
        "builtin/2",
    ]
    assert [i["problem"] for i in found["lost"]] == ["humaneval/6"]
    before, after = found["lost"][0]["programs"]
    assert (before["policy"], before["passed"]) == ("base", True)
    assert (after["policy"], after["outcome"]) == ("trained", "wrong_answer")


def test_a_long_list_is_cut_and_says_so(tmp_path: Path) -> None:
    rows = [
        samples.row(policy, "builtin", i, ending)
        for policy, ending in (("base", "W"), ("trained", "P"))
        for i in range(SHOWN + 7)
    ]
    table = pd.DataFrame(rows)
    found = changed(table, "trained", "base")
    assert (len(found["gained"]), found["more"]["gained"]) == (SHOWN, 7)
    write_report(samples.scores(table), table, None, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "7 more are in samples.parquet" in text
    assert text.count("<svg") == 3


def test_equal_input_gives_equal_bytes(html: str, tmp_path: Path) -> None:
    table = samples.frame()
    write_report(samples.scores(table), table, CURVES, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == html


def test_what_the_sandbox_could_not_judge_is_listed(html: str) -> None:
    assert "Not judged" in html
    assert re.search(r"builtin/3</td><td class=\"text\">trained", html)
