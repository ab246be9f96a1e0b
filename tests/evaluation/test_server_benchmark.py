"""Scores of a model behind a real server are those of the same model here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from falcon.config import Settings
from falcon.errors import UserError
from falcon.evaluation import codal
from falcon.evaluation.benchmark import BenchmarkFolders, BenchmarkResult, run_benchmark
from falcon.monitor import SilentMonitor
from falcon.problems.codal import load_codal
from tests.evaluation.conftest import settings_for
from tests.generation.servers import transformers_server


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def scored(
    settings: Settings, data: Path, out: Path, adapter: Path | None = None
) -> tuple[BenchmarkResult, pd.DataFrame]:
    result = run_benchmark(
        settings,
        folders=BenchmarkFolders(data, out, out / "unfinished"),
        memory=None,
        policies={"base": None} | ({"trained": adapter} if adapter else {}),
        monitor=SilentMonitor(),
    )
    return result, pd.read_parquet(out / "samples.parquet")


def test_the_same_model_scores_the_same(
    model: Path, data_dir: Path, tmp_path: Path, url: str
) -> None:
    local = settings_for(model)
    _, here = scored(local, data_dir, tmp_path / "here")
    result, there = scored(local.changed({"policy.server": url}), data_dir, tmp_path / "there")
    columns = ["problem_id", "program", "outcome", "completion", "finished", "reward"]
    pd.testing.assert_frame_equal(here[columns], there[columns])
    assert set(there["outcome"]) == {"pass", "wrong_answer"}
    assert result.scores["prompt_version"] == "chat-fence-1"


def test_without_a_tokenizer_the_server_puts_the_turn(
    model: Path, data_dir: Path, tmp_path: Path, url: str
) -> None:
    settings = settings_for(model).changed({"policy.server": url, "policy.tokenizer": "server"})
    result, rows = scored(settings, data_dir, tmp_path / "out")
    assert result.scores["prompt_version"] == "chat-open-1"
    own = settings_for(model).changed({"policy.prompt": "chat-open"})
    _, here = scored(own, data_dir, tmp_path / "here")
    assert list(rows["completion"]) == list(here["completion"])
    assert (rows["tokens"] > 0).all()
    with pytest.raises(UserError, match="completion needs a tokenizer"):
        scored(settings.changed({"policy.prompt": "completion"}), data_dir, tmp_path / "no")


def test_a_server_that_takes_no_adapters_is_named(
    model: Path, still: Path, data_dir: Path, tmp_path: Path, url: str
) -> None:
    settings = settings_for(model).changed({"policy.server": url})
    with pytest.raises(UserError, match="does not take the adapter") as told:
        scored(settings, data_dir, tmp_path, still)
    assert "--enable-lora" in str(told.value.hint)


@pytest.mark.parametrize("tokenizer", ["", "server"])
def test_instructions_are_answered_there_as_here(
    model: Path, tmp_path: Path, url: str, tokenizer: str
) -> None:
    instructions = tuple(load_codal("codal-style"))[:2]
    here = codal.Plan(settings_for(model).policy, instructions, max_new_tokens=8)
    behind = {"policy.server": url, "policy.tokenizer": tokenizer}
    there = codal.Plan(settings_for(model).changed(behind).policy, instructions, max_new_tokens=8)
    wanted = codal.respond(here, tmp_path / "here", SilentMonitor())
    found = codal.respond(there, tmp_path / "there", SilentMonitor())
    assert [row["id"] for row in found] == [row["id"] for row in wanted]
    if not tokenizer:  # else the template gets no empty system turn
        assert found == wanted
    assert all(row["response"] for row in found)
