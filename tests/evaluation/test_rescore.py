"""Samples judged again without the model, and `falcon evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from falcon.cli import main as cli
from falcon.errors import UserError
from falcon.evaluation import BenchmarkFolders, run_benchmark
from falcon.evaluation.rescore import rescore
from falcon.monitor import SilentMonitor
from tests.evaluation.conftest import make_problem, settings_for


@pytest.fixture
def scored(model: Path, broken: Path, data_dir: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    run_benchmark(
        settings_for(model),
        folders=BenchmarkFolders(data_dir, out, tmp_path / "work"),
        memory=None,
        policies={"base": None, "trained": broken},
        monitor=SilentMonitor(),
    )
    return out


def test_the_same_samples_get_the_same_scores_without_the_model(
    scored: Path, data_dir: Path
) -> None:
    files = ("samples.parquet", "scores.json")
    before = {name: (scored / name).read_bytes() for name in files}
    gone = settings_for(Path("/no/such/model"))
    rescore(gone, data_dir=data_dir, memory=None, out=scored, monitor=SilentMonitor())
    frames = [pd.read_parquet(scored / "samples.parquet")]
    (scored / "samples.parquet").write_bytes(before["samples.parquet"])
    frames.append(pd.read_parquet(scored / "samples.parquet"))
    pd.testing.assert_frame_equal(frames[0][frames[1].columns], frames[1], check_dtype=False)
    assert json.loads((scored / "scores.json").read_text()) == json.loads(before["scores.json"])


def test_other_tests_show_on_old_samples(model: Path, scored: Path, data_dir: Path) -> None:
    easier = make_problem("triple", 3).model_dump(mode="json")
    easier["tests"]["calls"] = [{"args": [2], "expected": 4}]  # what the model wrote gives
    lines = [json.dumps(make_problem("double", 2).model_dump(mode="json")), json.dumps(easier)]
    (data_dir / "problems.jsonl").write_text("\n".join(lines) + "\n")
    found = rescore(
        settings_for(model), data_dir=data_dir, memory=None, out=scored, monitor=SilentMonitor()
    )
    base = found.scores["policies"]["base"]["suites"]["builtin"]
    assert base["pass@1"]["value"] == 1.0
    assert base["tests_passed"]["mean"] == 1.0
    assert found.scores["policies"]["trained"]["suites"]["builtin"]["pass@1"]["value"] == 0.0


def test_samples_that_are_missing_or_of_another_benchmark_are_named(
    model: Path, scored: Path, data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no samples to score"):
        rescore(
            settings_for(model),
            data_dir=data_dir,
            memory=None,
            out=tmp_path / "no",
            monitor=SilentMonitor(),
        )
    lines = json.dumps(make_problem("double", 2).model_dump(mode="json"))
    (data_dir / "problems.jsonl").write_text(lines + "\n")
    before = (scored / "scores.json").read_bytes()
    with pytest.raises(UserError, match="`builtin/triple` of `builtin` is in no benchmark"):
        rescore(
            settings_for(model), data_dir=data_dir, memory=None, out=scored, monitor=SilentMonitor()
        )
    assert (scored / "scores.json").read_bytes() == before


def test_the_command_scores_a_model_and_scores_it_again(
    model: Path,
    broken: Path,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "space"
    root.mkdir()
    shutil.copytree(data_dir, root / "data")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text(
        "policy: {dtype: float32, max_prompt_tokens: 400}\nmachine: {workers: 1, cache: false}\n"
        "benchmark: {max_new_tokens: 8}\nmemory: {encoder: hash}\n"
    )
    monkeypatch.chdir(root)
    words = ["evaluate", "builtin", "--model", str(model), "--out", "found"]
    assert cli.run(words) == 0
    told = capsys.readouterr()
    assert "50.0 % [" in told.out  # with room enough, whatever the settings give the pipeline
    assert "found/report.html" in told.err
    cut = [*words[:-1], "cut", "--max-new-tokens", "0"]
    assert cli.run(cut) == 0
    header, row = capsys.readouterr().out.splitlines()[:2]
    assert "cut" in header
    assert "100.0%" in row
    shutil.rmtree(root / "state", ignore_errors=True)
    assert (
        cli.run(["evaluate", "builtin", "--model", "/no/such", "--out", "found", "--rescore"]) == 0
    )
    assert "50.0 % [" in capsys.readouterr().out
    assert cli.run(["evaluate", "nothing", "--model", str(model)]) == 2
    assert "there is no benchmark `nothing`" in capsys.readouterr().err
    assert cli.run(["evaluate", "builtin", "--adapter", "/no/such/adapter"]) == 2
    assert "/no/such/adapter" in capsys.readouterr().err
    # Beside the model that it was trained on, whatever the settings have.
    assert cli.run(["evaluate", "builtin", "--adapter", str(broken), "--out", "own"]) == 0
    scores = json.loads((root / "own" / "scores.json").read_text())
    assert scores["model"] == str(model)
    assert scores["policies"].keys() == {"base", "trained"}
