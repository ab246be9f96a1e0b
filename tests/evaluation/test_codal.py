"""CODAL-Bench: rows, responses of a real model, marks of a judge, and what is left of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from critics.chat_server import answer, chat_server
from models import tiny_causal
from typer.testing import CliRunner

from falcon.cli.main import app
from falcon.errors import UserError
from falcon.evaluation import codal as bench
from falcon.evaluation.codal_prompts import PRINCIPLES, question_of, rating_of
from falcon.problems.codal import PREFERENCES, load_codal


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("Rationale: good\nRating: 7", 7),
        ("Rating: 3\nOn second thought\n**Rating:** 8/10", 8),
        ("Rating: 0", None),
        ("Rating: 11", None),
        ("Rating: 7.5", None),
        ("Rating: <whole number from 1 to 10>", None),
        ("I rate it 7", None),
    ],
)
def test_a_mark_is_read_only_where_it_is_one(text: str, mark: int | None) -> None:
    assert rating_of(text) == mark


def test_our_own_set_has_every_preference_with_references() -> None:
    found = load_codal("codal-style")
    assert {p: sum(i.preference == p for i in found) for p in PREFERENCES} == dict.fromkeys(
        PREFERENCES, 5
    )
    model, references = bench.references_of(found, "")
    assert model == "reference"
    assert len(set(references.values())) == 25
    assert set(PRINCIPLES) == set(PREFERENCES)


def test_the_hubs_columns_in_each_form(tmp_path: Path) -> None:
    row = {
        "instruction": "Write f.",
        "preference": "Code Complexity and Efficiency",
        "gpt-4-turbo_response": "def f(): ...",
        "claude-3-sonnet_response": "def f(): pass",
    }
    frame = pd.DataFrame([row, row | {"preference": "explanation"}])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "a.json", orient="records")
    found = [load_codal(str(tmp_path / f"a.{end}")) for end in ("parquet", "jsonl", "json")]
    assert found[0] == found[1] == found[2]
    assert [i.preference for i in found[0]] == ["complexity", "explanation"]
    with pytest.raises(UserError, match="references of 2 models: claude-3-sonnet, gpt-4-turbo"):
        bench.references_of(found[0], "")
    with pytest.raises(UserError, match="no response of `gpt-5` to codal/1"):
        bench.references_of(found[0], "gpt-5")


def test_bad_rows_are_named_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    rows = [
        {"instruction": " ", "preference": "style"},
        {"instruction": "x", "preference": "speed"},
        {"task_id": 1, "text": "t", "code": "c", "test_list": []},
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\nnot json")
    with pytest.raises(UserError) as fault:
        load_codal(str(file))
    said = str(fault.value)
    assert "row 1, `instruction`: missing or empty" in said
    assert "row 2, `preference`: 'speed' is none of" in said
    assert "row 3: this looks like MBPP" in said
    assert "row 4: not JSON" in said
    with pytest.raises(UserError, match="is not there"):
        load_codal(str(tmp_path / "none.parquet"))


def test_scores_are_means_of_means_and_faults_stand_apart() -> None:
    def rows(preference: str, *marks: int | None) -> list[dict[str, Any]]:
        return [{"preference": preference, "rating": mark} for mark in marks]

    some = rows("style", 2, 4, None) + rows("readability", 9)
    found = bench.score(some)
    assert found["preferences"]["style"]["value"] == 3.0
    assert found["preferences"]["style"]["faults"] == 1
    assert found["all"]["value"] == 6.0
    assert 2.0 <= found["preferences"]["style"]["low"] <= 3.0
    as_official = bench.score(some, faults_are_zero=True)
    assert as_official["preferences"]["style"]["value"] == 2.0
    assert bench.score(some + rows("explanation", None))["all"]["value"] is None


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["codal", *arguments])


def test_the_command_from_responses_to_rescoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny_causal(tmp_path / "model", chat=True)
    options = ["--limit", "2", "--max-new-tokens", "8", "--out", "out"]

    def mark(number: int, body: dict[str, Any]) -> Any:
        said = body["messages"][-1]["content"]
        if "# Coding style" in said:
            return answer("Rating: 4")
        return answer("no idea" if "Count" in said or "count_vowels" in said else "Rating: 6")

    with chat_server(mark) as server:
        judge = ["--judge", "api", "--judge-model", "j", "--judge-url", server.url]
        done = _run("--model", str(model), *judge, *options)
        assert done.exit_code == 0, done.output
        asked = len(server.requests)
        scores = json.loads(Path("out/scores.json").read_text())
        table = pd.read_parquet("out/responses.parquet")
        assert len(table) == 10
        assert asked == 10
        again = _run("--rescore", *judge, *options)
        assert again.exit_code == 0, again.output
        assert len(server.requests) == asked  # what had no mark was an answer all the same
    assert scores["preferences"]["style"]["value"] == 4.0
    assert scores["preferences"]["instruction-following"]["faults"] == 1
    assert scores["judge"] == {"name": "api:j", "version": "t0-512"}
    first = table[table["preference"] == "style"].iloc[0]
    assert first["rating"] == 4
    assert first["judge"] == "api:j"
    _, user = question_of("style", "I", "R", "")
    assert "(empty)" in user
    recorded = ["--judge", "recorded", "--judgements", "out/judgements/answers.jsonl"]
    third = _run("--rescore", *recorded, *options, "--faults-are-zero")
    assert third.exit_code == 0, third.output
    assert json.loads(Path("out/scores.json").read_text())["all"]["value"] < scores["all"]["value"]


def test_responses_are_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from falcon.config import PolicySettings
    from falcon.monitor import SilentMonitor

    model = tiny_causal(tmp_path / "model", chat=True)
    instructions = tuple(load_codal("codal-style"))
    plan = bench.Plan(PolicySettings(model=str(model)), instructions, max_new_tokens=4)
    done = 0
    whole = bench._written

    def interrupted(*arguments: Any) -> Any:
        nonlocal done
        if done == 2:
            raise KeyboardInterrupt
        done += 1
        return whole(*arguments)

    monkeypatch.setattr(bench, "_written", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.respond(plan, tmp_path / "work", SilentMonitor())
    made = []
    monkeypatch.setattr(bench, "_written", lambda *a: made.append(1) or whole(*a))
    rows = bench.respond(plan, tmp_path / "work", SilentMonitor())
    assert len(made) == 2  # of four chunks two were there
    assert [row["id"] for row in rows] == [i.id for i in instructions]
